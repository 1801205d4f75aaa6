"""More than one agent, and one that lost its connections."""

from __future__ import annotations

import time

from tests.faults.scenarios.work import jobs_flow
from tests.faults.site import Site


def two_agents(site: Site) -> None:
    """Two workers; one is killed while both work."""
    first, second = site.start_agent("worker-1"), site.start_agent("worker-2")
    site.submit(60, agent=first)
    site.submit(60, agent=second)
    site.kill(first)
    site.healed()


def one_name_twice(site: Site) -> None:
    """A second process of the same name waits while the first works, and takes over when that is killed."""
    first = site.start_agent()
    second = site.start_agent(wait=False, ATTUNE__WORKER__SHUTDOWN_TIMEOUT="60")
    second.worker_id = first.worker_id
    ids = site.submit(60)
    site.wait_running(ids, 10)
    since = site.direct.one("SELECT clock_timestamp()")
    first.kill()
    site.wait_active(second, since)
    site.healed()


def partitioned(site: Site) -> None:
    """The server goes on believing in connections that the agent has lost."""
    jobs_flow(site, 80)
    for _ in range(3):
        site.database.sever()
        site.broker.sever()
        time.sleep(1)
    site.healed()
