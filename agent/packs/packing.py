"""Pack a pack's directory into an archive: the same files make the same bytes, so that a digest names them."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agent.errors import PackError
from agent.reading.regular_files import open_regular

LEFT_OUT = frozenset({"__pycache__", ".git", ".venv"})
_DEEPEST = 32
_CHUNK = 1 << 20


@dataclass(frozen=True)
class PackedFile:
    """One file: its name in the archive, where it lies, and what changes when its content does."""

    name: str
    path: str
    executable: bool
    state: tuple[int, ...]


def files_of(directory: Path) -> list[PackedFile]:
    """Return the files of a pack in the order of the archive; links inside the pack stand for what they lead to.

    Raises:
        OSError: the directory can't be read, or changed meanwhile.
        PackError: it holds what is no file, a link that leads out, or is nested too deeply.
    """
    root = os.path.realpath(directory)
    return sorted(_walk(root, root, "", frozenset((root,))), key=lambda file: file.name)


def write_archive(files: list[PackedFile], ref: str, target: IO[bytes]) -> None:
    """Write a gzipped tar archive of ``files`` below ``ref``/. Raises OSError when one is gone or has another size."""
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=6, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for file in files:
            info = tarfile.TarInfo(f"{ref}/{file.name}")
            info.mode = 0o755 if file.executable else 0o644
            with os.fdopen(open_regular(file.path, follow=False), "rb") as source:
                info.size = os.fstat(source.fileno()).st_size
                archive.addfile(info, _Exactly(source, info.size))


class _Exactly(io.RawIOBase):
    """As many bytes of a file as its header says; a file that shrank is an error, not a shorter entry."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self._source, self._left = source, size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left, _CHUNK)
        found = self._source.read(wanted) if wanted else b""
        if wanted and not found:
            raise OSError("a file of the pack became shorter while it was read")
        self._left -= len(found)
        return found


def _walk(root: str, folder: str, prefix: str, above: frozenset[str]) -> Iterator[PackedFile]:
    if len(above) > _DEEPEST:
        raise PackError(f"{prefix[:200]} is nested too deeply")
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in LEFT_OUT:
                continue
            name = f"{prefix}{entry.name}"
            path = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
            if not path.startswith(f"{root}/"):
                raise PackError(f"{name[:200]} is a symbolic link that leads out of the pack")
            found = os.stat(path)
            if stat.S_ISDIR(found.st_mode):
                if path in above:
                    raise PackError(f"{name[:200]} is a symbolic link to what it lies in")
                yield from _walk(root, path, f"{name}/", above | {path})
            elif stat.S_ISREG(found.st_mode):
                state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                yield PackedFile(name, path, bool(found.st_mode & 0o111), state)
            else:
                raise PackError(f"{name[:200]} is neither a file nor a directory")
