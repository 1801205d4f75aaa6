"""A pack's directory as the form that the API takes: an archive on disk, made for one request."""

from __future__ import annotations

import contextlib
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from agent.errors import PackError

_LEFT_OUT = frozenset((".git", "__pycache__", "node_modules", ".venv"))


@contextlib.contextmanager
def archived(directory: Path, boundary: str) -> Iterator[IO[bytes]]:
    """Lend the form, which is gone after the block; links and what no pack needs stay out.

    Raises:
        PackError: the directory can't be read, or is no pack.
    """
    if not (directory / "pack.yaml").is_file():
        raise PackError(f"{directory} has no pack.yaml", hint="name the directory of a pack")
    with tempfile.TemporaryFile(prefix="attune-pack-") as form:
        form.write(
            f'--{boundary}\r\nContent-Disposition: form-data; name="force"\r\n\r\ntrue\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="pack"; filename="pack.tar.gz"\r\n'
            "Content-Type: application/gzip\r\n\r\n".encode()
        )
        try:
            with tarfile.open(fileobj=form, mode="w|gz") as archive:
                for path in _files(directory):
                    archive.add(path, path.relative_to(directory), recursive=False, filter=_anonymous)
        except OSError as error:
            raise PackError(f"{error.filename or directory} can't be sent: {error.strerror}") from error
        form.write(f"\r\n--{boundary}--\r\n".encode())
        form.flush()
        form.seek(0)
        yield form


def _files(directory: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(directory):
        names[:] = sorted(name for name in names if name not in _LEFT_OUT and not Path(folder, name).is_symlink())
        yield from (Path(folder, name) for name in names)
        for name in sorted(files):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Whose the files are here is nothing to the server."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
