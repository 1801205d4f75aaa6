"""Read regular files whole, up to a limit: a FIFO, a device or a file that never ends is an error, not a wait."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_CHUNK = 1024 * 1024


class NoRegularFile(OSError):
    """A FIFO, device, socket or directory lies where a file should be."""


def open_regular(path: str | os.PathLike[str], *, follow: bool = True, dir_fd: int | None = None) -> int:
    """Open a file for reading without waiting for anybody; ``follow`` says whether its last part may be a link.

    Raises:
        OSError: it can't be opened, or isn't a regular file.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    # Opening some devices does something; so what it is is asked before as well, by a descriptor that can't be read.
    probe = os.open(path, os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW), dir_fd=dir_fd)
    try:
        _require_regular(probe, path)
    finally:
        os.close(probe)
    fd = os.open(path, flags, dir_fd=dir_fd)
    try:
        _require_regular(fd, path)
    except OSError:
        os.close(fd)
        raise
    return fd


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes.

    Raises:
        OSError: it can't be read, is no regular file, or is larger.
    """
    return read_open(open_regular(path), path, most)


def read_open(fd: int, path: str | os.PathLike[str], most: int) -> bytes:
    """Return the content of an open file, and close it. Raises OSError like ``read_regular``."""
    with open(fd, "rb", buffering=0) as file:
        pieces, left = [], most
        while piece := file.read(min(_CHUNK, left + 1)):
            pieces.append(piece)
            left -= len(piece)
            if left < 0:
                raise OSError(errno.EFBIG, f"larger than {_size(most)}", str(path))
    return b"".join(pieces)


def read_regular_text(path: str | os.PathLike[str], most: int) -> str:
    """Return the same as text. Raises OSError, and UnicodeDecodeError where it isn't UTF-8."""
    return read_regular(path, most).decode("utf-8")


def is_regular(path: Path) -> bool:
    """Tell whether a regular file lies there; what can't be asked is none."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _require_regular(fd: int, path: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise NoRegularFile(errno.EINVAL, "not a regular file", str(path))


def _size(count: int) -> str:
    return f"{count // 1024} KiB" if count < 1024 * 1024 else f"{count // 1024 // 1024} MiB"
