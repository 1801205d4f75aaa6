"""System calls that never wait, made while holding the interpreter's lock.

Python gives its lock up around each of them. Where many threads want it, that is an offer that one of them takes: the
call costs two thread switches, a hundred times its own price.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import threading
from typing import NamedTuple

#: Bytes that are read at a time.
CHUNK = 65536


class ChildEnd(NamedTuple):
    """How a child ended: ``status`` is its exit code, or the signal that ended it where ``signalled``."""

    signalled: bool
    status: int


class _Child(ctypes.Structure):
    _fields_ = (("pid", ctypes.c_int), ("uid", ctypes.c_uint), ("status", ctypes.c_int))


class _Cause(ctypes.Union):
    #: The pointer is there for its alignment, the bytes for the size that the kernel writes.
    _fields_ = (("child", _Child), ("pointer", ctypes.c_void_p), ("bytes", ctypes.c_char * 112))


class _SigInfo(ctypes.Structure):
    """``siginfo_t`` of waitid(2)."""

    _fields_ = (("signo", ctypes.c_int), ("errno", ctypes.c_int), ("code", ctypes.c_int), ("cause", _Cause))


class _Room(threading.local):
    """What one thread reads into."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(CHUNK)
        self._view = memoryview(self.buffer).cast("B")

    def content(self, size: int) -> bytes:
        """Return what was read."""
        return bytes(self._view[:size])


_ROOM = _Room()


def close(fd: int) -> None:
    """Close a descriptor of a pipe or a process. Raises OSError."""
    if quick().close(fd):
        _fail()


def pipe() -> tuple[int, int]:
    """Return the reading and the writing end of a new pipe, both close-on-exec (pipe2(2)). Raises OSError."""
    ends = (ctypes.c_int * 2)()
    if quick().pipe2(ends, os.O_CLOEXEC):
        _fail()
    return ends[0], ends[1]


def never_wait(fd: int) -> None:
    """Let reads and writes of a pipe of ours fail where they would wait (O_NONBLOCK). Raises OSError."""
    if quick().fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK) < 0:
        _fail()


def read(fd: int) -> bytes:
    """Read up to ``CHUNK`` bytes of a pipe that never waits, nothing at its end. Raises OSError."""
    size: int = quick().read(fd, _ROOM.buffer, CHUNK)
    if size < 0:
        _fail()
    return _ROOM.content(size)


def read_at(fd: int, size: int, offset: int) -> bytes:
    """Read from a file of the kernel's, which has its content at once (pread(2)). Raises OSError."""
    read_: int = quick().pread(fd, _ROOM.buffer, min(size, CHUNK), ctypes.c_long(offset))
    if read_ < 0:
        _fail()
    return _ROOM.content(read_)


def write(fd: int, data: bytes) -> int:
    """Write what a pipe that never waits takes; return how much that was. Raises OSError."""
    written: int = quick().write(fd, data, len(data))
    if written < 0:
        _fail()
    return written


def event() -> int:
    """Return a new eventfd(2), close-on-exec, that never waits. Raises OSError."""
    fd: int = quick().eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    if fd < 0:
        _fail()
    return fd


def end_of_child(pid: int) -> ChildEnd | None:
    """Return how a child has ended and leave it a zombie; None while it runs (waitid(2)). Raises OSError."""
    info = _SigInfo()
    if quick().waitid(os.P_PID, pid, ctypes.byref(info), os.WEXITED | os.WNOWAIT | os.WNOHANG):
        _fail()
    child = info.cause.child
    return ChildEnd(info.code != os.CLD_EXITED, child.status) if child.pid else None


def collect_child(pid: int) -> bool:
    """Collect a child if it is a zombie; False while it runs (waitpid(2)). Raises OSError."""
    collected: int = quick().waitpid(pid, None, os.WNOHANG)
    if collected < 0:
        _fail()
    return collected != 0


def write_at_start(fd: int, data: bytes) -> None:
    """Write to the beginning of a file of the kernel's, which takes it at once (pwrite(2)). Raises OSError."""
    if quick().pwrite(fd, data, len(data), ctypes.c_long(0)) < 0:
        _fail()


@functools.cache
def quick() -> ctypes.PyDLL:
    """The C library, for calls that take no time."""
    return ctypes.PyDLL(None, use_errno=True)


def _fail() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
