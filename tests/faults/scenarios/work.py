"""What most scenarios begin with: the work that a fault meets, and how long it lasts."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.faults.jobs import LONG
from tests.faults.site import Site
from tests.services.agent_process import AgentProcess


def jobs_flow(site: Site, number: int = 100, *, running: int = 5) -> AgentProcess:
    """Start an agent with ``number`` short jobs before it, and wait until ``running`` of them have started."""
    agent = site.start_agent()
    site.wait_running(site.submit(number), running)
    return agent


def jobs_last(site: Site, kind: str = LONG) -> tuple[AgentProcess, list[int]]:
    """Start an agent and fill it with jobs that do not end by themselves; return their executions, too."""
    agent = site.start_agent()
    ids = site.submit(8, kind)
    site.wait_running(ids, min(8, len(ids)))
    return agent, ids


def for_a_while(begin: Callable[[], object], end: Callable[[], object], seconds: float) -> None:
    """Let a fault last."""
    begin()
    time.sleep(seconds)
    end()
