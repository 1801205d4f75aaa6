"""How many processes the kernel has killed for want of memory in this container, as its control group counts them."""

from __future__ import annotations

import contextlib
import os
from functools import cache

from agent.process import syscalls
from agent.process.own_group import path_of_group

_UNIFIED = "/sys/fs/cgroup"
_OWN = "/proc/self/cgroup"


def oom_kills() -> int:
    """Return the count of this process's group and those below it; 0 where nothing counts."""
    return kills_in(oom_counts())


def oom_counts() -> bytes:
    """Return what the kernel says now, for ``kills_in``; nothing where it counts nothing.

    Cheap enough to be asked before each job: the file is opened once, and read again only if the job is killed.
    """
    fd = _counter()
    try:
        return b"" if fd is None else syscalls.read_at(fd, 4096, 0)
    except OSError:
        return b""


def kills_in(counts: bytes) -> int:
    """Return the number of processes killed, as ``oom_counts`` gave it."""
    for line in counts.splitlines():
        name, _, value = line.partition(b" ")
        if name == b"oom_kill" and value.isdigit():
            return int(value)
    return 0


@cache
def _counter() -> int | None:
    """Open ``memory.events`` (cgroup v2), else ``memory.oom_control`` (v1), of this process's group."""
    for base, name, path in (
        (_UNIFIED, "memory.events", _own_group("")),
        (f"{_UNIFIED}/memory", "memory.oom_control", _own_group("memory")),
    ):
        # A container sees its own group as the root of the mount, whatever path the kernel tells.
        for folder in dict.fromkeys((f"{base}{path}", base)):
            with contextlib.suppress(OSError):
                return os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    return None


def _own_group(controller: str) -> str:
    with contextlib.suppress(OSError), open(_OWN, encoding="ascii", errors="replace") as file:
        path = path_of_group(file.read(), controller) or ""
        return "" if ".." in path else path.rstrip("/")
    return ""
