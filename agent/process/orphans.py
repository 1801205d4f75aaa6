"""Find and kill the processes that a job left behind outside its process group.

They are our children by then, because this process is a child subreaper (prctl(2)); the job's mark tells them from
other jobs' processes and from those an operator started in the container.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Iterator

from agent.process import syscalls
from agent.process.children import CHILDREN
from agent.process.job_mark import JobMark
from agent.process.oom_score import oom_score_of
from agent.process.process_table import processes

#: Each round kills what the round before uncovered: the children of a killed orphan become ours.
_MAX_ROUNDS = 64

#: Bytes that the kernel gives at a time; a large buffer would only be mapped and unmapped for each look.
_PAGE = 4096


def kill_orphans(mark: JobMark | None) -> int:
    """Kill every inherited process that carries ``mark``, or each one where that is None; return how many."""
    tried: set[int] = set()
    for _ in range(_MAX_ROUNDS):
        found = [pid for pid in inherited() if pid not in tried and (mark is None or _carries(pid, mark))]
        if not found:
            break
        for pid in found:
            with contextlib.suppress(OSError):  # it may have changed its user: then it is not ours to kill
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        tried.update(found)
    return len(tried)


def inherited() -> Iterator[int]:
    """Yield our children that nobody here waits for. The kernel gives orphans to the main thread."""
    try:
        listing, text = _listing(os.getpid()), b""
        while piece := syscalls.read_at(listing, _PAGE, len(text)):
            text += piece
        pids = [int(pid) for pid in text.split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN, or no /proc at all
        pids = [process.pid for process in processes() if process.parent == os.getpid()]
    return (pid for pid in pids if not CHILDREN.mine(pid))


@functools.cache
def _listing(own: int) -> int:
    """Open the list of our children once for each life: it is asked for after each job."""
    return os.open(f"/proc/self/task/{own}/children", os.O_RDONLY | os.O_CLOEXEC)


def _carries(pid: int, mark: JobMark) -> bool:
    if mark.score is not None and oom_score_of(pid) == mark.score:
        return True
    return os.fsencode(mark.variable) in environment_of(pid)


def environment_of(pid: int) -> list[bytes]:
    """Return the ``NAME=value`` items that a process was started with; none where we may not look, or it has gone."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return environ.read().split(b"\0")
    except OSError:
        return []
