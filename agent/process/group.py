"""Who is left of a process group (setpgid(2))."""

from __future__ import annotations

import contextlib
import os
import signal

from agent.process.process_table import processes


def is_alone(leader: int) -> bool:
    """Whether no other process of the group of ``leader``, which has ended, runs on; False where /proc is missing."""
    any_at_all = False
    for process in processes():
        any_at_all = True
        if process.group == leader and process.pid != leader and not process.has_ended:
            return False
    return any_at_all


def kill_group(leader: int) -> None:
    """Kill all of the group of ``leader``, for which somebody still waits: its id has not been given away."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
