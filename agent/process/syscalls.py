"""System calls that never wait, made while holding the interpreter's lock.

Python gives its lock up around each of them. Where many threads want it, that is an offer that one of them takes: the
call costs two thread switches, a hundred times its own price.
"""

from __future__ import annotations

import ctypes
import functools
import os


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
