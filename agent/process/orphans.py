"""Find and kill the processes that a job left behind outside its process group.

They are our children by then, because this process is a child subreaper (prctl(2)); the job's mark in their
environment tells them from other jobs' processes and from those an operator started in the container.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from agent.process.children import CHILDREN

#: Each round kills what the round before uncovered: the children of a killed orphan become ours.
_MAX_ROUNDS = 64


def kill_orphans(marker: str) -> int:
    """Kill every inherited process whose environment holds ``marker`` (``NAME=value``); return how many."""
    wanted = os.fsencode(marker)
    killed = 0
    for _ in range(_MAX_ROUNDS):
        found = [pid for pid in inherited() if _carries(pid, wanted)]
        if not found:
            break
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        killed += len(found)
    return killed


def inherited() -> Iterator[int]:
    """Yield our children that nobody here waits for. The kernel gives orphans to the main thread."""
    try:
        listing = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)
        try:
            pids = [int(pid) for pid in os.read(listing, 1 << 20).split()]
        finally:
            os.close(listing)
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN, or no /proc at all
        pids = list(_children_by_stat())
    return (pid for pid in pids if not CHILDREN.mine(pid))


def _children_by_stat() -> Iterator[int]:
    me = os.getpid()
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as stat:
                    # The command's name may hold anything, so count the fields after its closing parenthesis.
                    if int(stat.read().rpartition(b")")[2].split()[1]) == me:
                        yield int(name)


def _carries(pid: int, wanted: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return wanted in environ.read().split(b"\0")
    except OSError:
        return False
