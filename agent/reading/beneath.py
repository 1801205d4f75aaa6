"""Open what lies below a directory, by its descriptor: no link is followed at any level, nothing above it is reached.

A directory of artifacts is shared with jobs, which may exchange any part of a path at any moment. Where Linux has
openat2(2) (5.6) the kernel keeps the promise; elsewhere each part is opened by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from functools import cache
from types import TracebackType

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Directory:
    """An open directory; all paths are relative to it, without ``..``."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open ``path``, whose own parts are trusted: an operator named it. Raises OSError."""
        self.path = os.fspath(path)
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Directory:
        """Close it at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the directory; what was opened below it stays open."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        """Open ``path`` below this directory, without waiting for a FIFO's other end. Raises OSError."""
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW
        if not flags & os.O_PATH:  # which waits for nothing, and takes no other flag
            flags |= os.O_NOCTTY | os.O_NONBLOCK
        parts = _parts(path)
        if _has_openat2():
            return _openat2(self.fd, "/".join(parts), flags, mode if flags & os.O_CREAT else 0)
        with self._folder(parts[:-1]) as folder:
            return os.open(parts[-1], flags, mode, dir_fd=folder)

    def make(self, path: str, mode: int) -> None:
        """Make a directory and those on the way to it; of those that are made the mode is set. Raises OSError."""
        parts = _parts(path)
        for end in range(1, len(parts) + 1):
            with self._folder(parts[: end - 1]) as folder:
                try:
                    os.mkdir(parts[end - 1], 0o700, dir_fd=folder)
                except FileExistsError:
                    continue
                made = os.open(
                    parts[end - 1], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder
                )
                with contextlib.suppress(OSError):
                    os.fchmod(made, mode)
                os.close(made)

    @contextlib.contextmanager
    def folder(self, path: str) -> Iterator[int]:
        """Open the directory ``path`` for the length of the block; yields its descriptor. Raises OSError."""
        with self._folder(_parts(path)) as fd:
            yield fd

    @contextlib.contextmanager
    def made_folder(self, path: str, mode: int) -> Iterator[int]:
        """Open the directory ``path`` as ``folder`` does, made first where it is missing. Raises OSError."""
        with contextlib.ExitStack() as stack:
            try:
                opened = stack.enter_context(self.folder(path))
            except FileNotFoundError:
                self.make(path, mode)
                opened = stack.enter_context(self.folder(path))
            yield opened

    @contextlib.contextmanager
    def _folder(self, parts: list[str]) -> Iterator[int]:
        fd = os.dup(self.fd)
        try:
            for part in parts:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)


def is_inside(path: str) -> bool:
    """Tell whether ``path`` is relative and stays where it begins: a name from a row may be anything."""
    return bool(path) and "\0" not in path and not path.startswith("/") and ".." not in path.split("/")


def _parts(path: str) -> list[str]:
    if not is_inside(path):
        raise OSError(errno.EACCES, "leads out of its directory", path)
    return [part for part in path.split("/") if part not in ("", ".")]


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _openat2(directory: int, path: str, flags: int, mode: int) -> int:
    how = _OpenHow(flags, mode, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS)
    fd = int(_libc().syscall(_OPENAT2, directory, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return fd


@cache
def _has_openat2() -> bool:
    """Whether the kernel has it and the container's profile allows it."""
    fd = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.close(_openat2(fd, ".", os.O_PATH | os.O_CLOEXEC, 0))
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
