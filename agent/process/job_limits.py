"""What one job may use: limits that the kernel keeps (getrlimit(2), cgroups(7)), and memory, which is looked at again
and again where the kernel doesn't.

RLIMIT_AS would keep memory without looking, but counts addresses: Node.js, Go and Java reserve far more than they use.
RLIMIT_NPROC counts all processes of a user, in every container of the machine: those of a job are counted by its
control group.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from dataclasses import dataclass

from agent.process.control_group import JOB_GROUPS, MEMORY
from agent.process.job_mark import JobMark
from agent.process.oom_score import oom_score_of
from agent.process.process_table import Process, processes

#: Seconds of processor time from SIGXCPU, which a process may catch, to SIGKILL.
_CPU_GRACE = 5


@dataclass(frozen=True, slots=True)
class JobLimits:
    """``memory`` in bytes and ``processes``, threads included, of the whole job; the others for each process.

    None: no limit. ``cpu_seconds`` is processor time. ``processes`` is kept where a job can have a control group;
    ``memory`` is kept by one of version 2, and looked at elsewhere.
    """

    memory: int | None = None
    open_files: int | None = None
    cpu_seconds: int | None = None
    processes: int | None = None

    def apply(self, leader: int, mark: JobMark | None) -> bool:
        """Limit a job that was just started, with all that it may have started since; what it starts later inherits.

        Returns whether the kernel keeps ``memory``: where it doesn't, somebody has to look.
        """
        wanted = [(resource.RLIMIT_NOFILE, self.open_files, 0), (resource.RLIMIT_CPU, self.cpu_seconds, _CPU_GRACE)]
        limits = [(kind, limit, more) for kind, limit, more in wanted if limit is not None]
        grouped = JOB_GROUPS.limit(leader, processes=self.processes, memory=self.memory)
        if not limits and not grouped:
            return False
        limited: set[int] = set()
        found = {leader}
        while found:
            JOB_GROUPS.join(leader, found - {leader})
            for pid in found:
                for kind, limit, more in limits:
                    _lower(pid, kind, limit, more)
            limited |= found
            found = {process.pid for process in processes_of(leader, mark)} - limited
        return MEMORY in grouped


NO_LIMITS = JobLimits()


def memory_of(leader: int, mark: JobMark | None) -> int:
    """Return the resident bytes of a job's processes; what they share counts for each of them."""
    return sum(process.resident for process in processes_of(leader, mark))


def processes_of(leader: int, mark: JobMark | None) -> Iterator[Process]:
    """Yield each process in the group of ``leader``, or with the score of ``mark``."""
    score = None if mark is None else mark.score
    for process in processes():
        if process.group == leader or (score is not None and oom_score_of(process.pid) == score):
            yield process


def _lower(pid: int, kind: int, limit: int, more: int) -> None:
    with contextlib.suppress(OSError):  # it has gone, or has changed its user
        hard = resource.prlimit(pid, kind)[1]
        highest = limit + more if hard == resource.RLIM_INFINITY else min(hard, limit + more)
        resource.prlimit(pid, kind, (min(limit, highest), highest))
