"""Unpack an uploaded pack: nothing but plain files below one directory, and no more of them than agreed."""

from __future__ import annotations

import itertools
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from agent.errors import PackError

_CHUNK = 1 << 20
_LONGEST_EXTENSION = 1 << 16
"""Bytes of a header that only says more about the next one, such as a long name: tarfile reads it whole into memory."""
_EXTENSIONS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
MANIFEST = "pack.yaml"


@dataclass(frozen=True)
class Limits:
    """What an archive may hold: bytes of all files, entries, bytes of one file."""

    total: int
    entries: int
    entry: int


@contextmanager
def unpacked(archive: IO[bytes], limits: Limits, *, parent: Path | None = None) -> Iterator[Path]:
    """Unpack for the length of the block; give the directory that holds ``pack.yaml``.

    Raises:
        PackError: it is no tar archive, holds more than it may, or anything but files and directories of its own.
    """
    with TemporaryDirectory(prefix="attune-pack-", dir=parent) as directory:
        root = Path(directory)
        try:
            # gzip only: what decompresses others sets its memory by what the archive says.
            with tarfile.open(fileobj=archive, mode="r|gz", tarinfo=_bounded(limits)) as opened:
                _extract(opened, root, limits)
        except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, RecursionError) as error:
            raise PackError(f"the archive can't be read: {error}") from None
        yield _root(root)


def _bounded(limits: Limits) -> type[tarfile.TarInfo]:
    """Return a reader of headers that takes no more memory than the limits allow, whatever a header says."""
    headers = itertools.count(1)

    class Bounded(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Bounded:
            made = super().frombuf(buf, encoding, errors)
            if next(headers) > 3 * limits.entries + 100:
                raise PackError(f"the archive has more than {limits.entries} entries")
            if made.type in _EXTENSIONS and not 0 <= made.size <= _LONGEST_EXTENSION:
                raise PackError(f"the archive has a header of {made.size} bytes")
            if made.type == tarfile.GNUTYPE_SPARSE:
                raise PackError("the archive holds a sparse file")
            return made

        def _sparse(self, *_: object) -> None:
            raise PackError("the archive holds a sparse file")

        # The maps of sparse files are read whole, too, by methods of these names.
        _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _sparse

    return Bounded


def _extract(opened: tarfile.TarFile, root: Path, limits: Limits) -> None:
    total = entries = 0
    seen: set[str] = set()
    for member in opened:
        entries += 1
        if entries > limits.entries:
            raise PackError(f"the archive has more than {limits.entries} entries")
        if member.isdir() and member.name.strip("./") == "":
            continue
        path = _safe(member)
        if str(path).lower() in seen and not member.isdir():
            raise PackError(f"the archive has two entries named {path}")
        seen.add(str(path).lower())
        target = root / path
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        if member.size > limits.entry:
            raise PackError(f"{path} has more than {limits.entry} bytes")
        target.parent.mkdir(parents=True, exist_ok=True)
        total += _write(opened, member, target, limits.total - total)


def _safe(member: tarfile.TarInfo) -> PurePosixPath:
    if not (member.isfile() or member.isdir()):
        raise PackError(f"{member.name[:200]!r} is a link or a device: a pack holds files and directories only")
    path = PurePosixPath(member.name)
    wrong = path.is_absolute() or ".." in path.parts or any(c in member.name for c in "\x00\\\n")
    if wrong or len(path.parts) > 32 or not path.parts:
        raise PackError(f"{member.name[:200]!r} leads out of the pack")
    return path


def _write(opened: tarfile.TarFile, member: tarfile.TarInfo, target: Path, left: int) -> int:
    source = opened.extractfile(member)
    written = 0
    with target.open("xb") as file:
        while source is not None and (chunk := source.read(_CHUNK)):
            written += len(chunk)
            if written > left:
                raise PackError("the files of the archive are larger than they may be together")
            file.write(chunk)
    target.chmod(0o755 if member.mode & 0o111 else 0o644)
    return written


def _root(directory: Path) -> Path:
    """Find ``pack.yaml`` at the top or one level down."""
    if (directory / MANIFEST).is_file():
        return directory
    found = [path for path in sorted(directory.iterdir()) if (path / MANIFEST).is_file()]
    if len(found) != 1:
        raise PackError("the archive has no pack.yaml at its top, nor in one directory there")
    return found[0]
