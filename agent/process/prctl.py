"""The process attributes that the agent sets on itself through prctl(2)."""

from __future__ import annotations

import ctypes

_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


def _set(option: int, value: int) -> bool:
    libc = ctypes.CDLL(None)
    return bool(libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), 0, 0, 0) == 0)


def hide_memory() -> bool:
    """Make this process not dumpable: a job with the same UID can't read its memory or environment from /proc.

    Promise: settings stay with the agent.
    """
    return _set(_PR_SET_DUMPABLE, 0)


def become_subreaper() -> bool:
    """Inherit the orphans of our descendants, so that jobs can't leave processes behind unseen.

    Promise: no process is left.
    """
    return _set(_PR_SET_CHILD_SUBREAPER, 1)


def name_process(name: str) -> None:
    """Let ``ps`` and ``top`` show this name, of which the kernel keeps 15 bytes."""
    ctypes.CDLL(None).prctl(ctypes.c_int(_PR_SET_NAME), ctypes.c_char_p(name.encode()), 0, 0, 0)
