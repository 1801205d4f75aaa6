"""Undo what a careless parent has left to this program: signals ignored or blocked, streams closed."""

from __future__ import annotations

import os
import signal
import sys


def reset_inherited() -> None:
    """Begin as every program expects to.

    With SIGCHLD ignored the kernel collects children itself, and nobody learns how they ended. A blocked SIGTERM never
    arrives. With a standard stream closed, the next file or connection gets its number, and what is printed goes there.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    missing = [fd for fd in (0, 1, 2) if not _is_open(fd)]
    for fd in missing:  # upwards: each gets the lowest free number
        os.set_inheritable(os.open(os.devnull, os.O_RDONLY if fd == 0 else os.O_WRONLY), True)
    # Python has put None in the place of what was closed.
    if 1 in missing:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - open as long as this program runs
    if 2 in missing:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
