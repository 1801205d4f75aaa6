"""Who is left of a process group (setpgid(2))."""

from __future__ import annotations

from agent.process.process_table import processes


def is_alone(leader: int) -> bool:
    """Whether no other process of the group of ``leader``, which has ended, runs on; False where /proc is missing."""
    any_at_all = False
    for process in processes():
        any_at_all = True
        if process.group == leader and process.pid != leader and not process.has_ended:
            return False
    return any_at_all
