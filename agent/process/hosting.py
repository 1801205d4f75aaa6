"""Get this process ready to run the programs of others: before its first thread and its first child."""

from __future__ import annotations

import logging

from agent.process.control_group import JOB_GROUPS, MEMORY, PIDS
from agent.process.core_dumps import write_none
from agent.process.memory import map_large_pieces
from agent.process.oom_events import oom_kills
from agent.process.oom_score import OOM_SCORE
from agent.process.prctl import become_subreaper, hide_memory
from agent.settings import LimitSettings

log = logging.getLogger(__name__)


def host_jobs(limits: LimitSettings) -> None:
    """Let no job see this process's memory, nor leave processes behind unseen, nor use more than ``limits`` say."""
    OOM_SCORE.open()
    write_none()
    map_large_pieces()
    _open_job_groups(limits)
    hide_memory()
    become_subreaper()


def _open_job_groups(limits: LimitSettings) -> None:
    """Let the kernel keep what it can keep of the limits of jobs."""
    memory = () if limits.memory is None else (MEMORY,)
    if limits.processes is None and not memory:
        return
    oom_kills()  # counted in the group that we are in now, and in all below it
    if limits.processes is not None and (why := JOB_GROUPS.open(PIDS, *memory)) is not None:
        log.warning("worker.limits.processes can't be kept: %s", why)
    if memory:
        JOB_GROUPS.open(MEMORY)  # where it can't be kept, the memory of jobs is looked at
