"""SIGTERM, with jobs shorter and longer than the grace, and with either server away."""

from __future__ import annotations

import signal
import time

from tests.faults.jobs import STUBBORN
from tests.faults.scenarios.work import jobs_flow, jobs_last
from tests.faults.site import Site


def drained_in_time(site: Site) -> None:
    """SIGTERM while jobs run that end within the grace; the rest waits for the next life."""
    agent = jobs_flow(site, 80)
    _leave(agent.stop(), 0)
    site.start_agent()
    site.healed()


def drained_too_late(site: Site) -> None:
    """SIGTERM while jobs run that ignore it."""
    agent, _ = jobs_last(site, STUBBORN)
    _leave(agent.stop(), 0)
    site.start_agent()
    site.healed()


def asked_twice_to_leave(site: Site) -> None:
    """A second SIGTERM leaves no time for a drain."""
    agent, _ = jobs_last(site)
    agent.signal(signal.SIGTERM)
    time.sleep(1)
    _leave(agent.stop(), 75)
    site.start_agent()
    site.healed()


def leaving_without_database(site: Site) -> None:
    """SIGTERM while the database is silent and jobs have ended."""
    agent, _ = jobs_last(site)
    site.database.pause()
    site.release()
    time.sleep(0.5)
    _leave(agent.stop(), 75)
    site.database.accept()
    site.start_agent()
    site.healed()


def leaving_without_broker(site: Site) -> None:
    """SIGTERM while the broker is away and jobs have ended."""
    agent, _ = jobs_last(site)
    site.broker.refuse()
    site.release()
    time.sleep(1)
    _leave(agent.stop(), 75)
    site.broker.accept()
    site.start_agent()
    site.healed()


def _leave(code: int, expected: int) -> None:
    assert code == expected, f"the agent left with {code}"
