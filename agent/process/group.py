"""Who is left of a process group (setpgid(2))."""

from __future__ import annotations

import contextlib
import os


def is_alone(leader: int) -> bool:
    """Whether no other process of the group of ``leader``, which has ended, runs on; False where /proc is missing."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return False
    group = b"%d" % leader
    others = (name for name in names if name.isdigit() and int(name) != leader)
    return "self" in names and not any(_runs_in(name, group) for name in others)


def _runs_in(pid: str, group: bytes) -> bool:
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as stat:
            # The command's name may hold anything, so count the fields after its closing parenthesis.
            state, _, of = stat.read(1024).rpartition(b")")[2].split()[:3]
        return of == group and state not in b"ZX"
    return False
