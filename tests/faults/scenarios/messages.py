"""Dispatches come twice or too late, and executions are cancelled."""

from __future__ import annotations

from tests.faults.jobs import LONG, QUICK
from tests.faults.site import Site


def duplicates(site: Site) -> None:
    """Each dispatch comes three times, and once more when all is over."""
    site.start_agent()
    ids = site.submit(60)
    site.dispatch(ids)
    site.dispatch(ids)
    site.wait_ended(ids)
    site.dispatch(ids)
    site.healed()


def cancelled(site: Site) -> None:
    """Cancelled before the start, while they run, and when they have ended."""
    site.start_agent()
    before = site.schedule(site.count(10))
    site.cancel(before)
    site.dispatch(before)
    running = site.submit(8, LONG)
    site.wait_running(running, min(8, len(running)))
    site.cancel(running)
    over = site.submit(10, QUICK)
    site.wait_ended(over)
    site.cancel(over)
    flowing = site.submit(40)
    site.cancel(flowing[::2])
    site.healed()
