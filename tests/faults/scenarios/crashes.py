"""The agent is killed or stopped at each step of an execution."""

from __future__ import annotations

import signal
import time

from tests.faults.scenarios.work import jobs_flow, jobs_last
from tests.faults.site import Site
from tests.services.proxy import until


def killed_at_any_moment(site: Site) -> None:
    """Killed again and again while short jobs flow: each step of an execution is met sooner or later."""
    agent = site.start_agent()
    for _ in range(4):
        ids = site.submit(60)
        site.wait_running(ids, len(ids) // 3)
        agent = site.kill(agent)
    site.healed()


def killed_after_delivery(site: Site) -> None:
    """Killed with dispatches in hand that it could not claim."""
    agent = site.start_agent()
    site.database.pause()
    site.submit(40)
    time.sleep(1)
    agent.kill()
    site.database.accept()
    site.start_agent()
    site.healed()


def killed_after_claim(site: Site) -> None:
    """Killed when claims were committed whose answer never came."""
    agent = site.start_agent()
    site.database.inject(b"\0claim\0", "lose answer")
    site.submit(40)
    site.database.wait_for_faults()
    site.kill(agent)
    site.healed()


def killed_while_jobs_run(site: Site) -> None:
    """Killed with running jobs; not PID 1, so they live on until the next life ends them."""
    agent, _ = jobs_last(site)
    site.kill(agent)
    site.healed()


def killed_after_exit(site: Site) -> None:
    """Killed when jobs had ended, but their ends could not be written."""
    agent, ids = jobs_last(site)
    site.database.pause()
    site.release()
    until(lambda: sum(what == "end" for _, what in site.trace()) == min(8, len(ids)), "the ends")
    time.sleep(2)
    agent.kill()
    site.database.accept()
    site.start_agent()
    site.healed()


def killed_before_messages(site: Site) -> None:
    """Killed when ends were written, but not published, for longer than several heartbeats."""
    agent = jobs_flow(site, 30, running=1)
    site.broker.refuse()
    time.sleep(3)
    agent.kill()
    site.broker.accept()
    site.start_agent()
    site.healed()


def stopped_while_somebody_ends_its_rows(site: Site) -> None:
    """SIGSTOP for longer than a monitor waits; it ends the rows, the agent wakes and finds them ended."""
    agent, ids = jobs_last(site)
    agent.signal(signal.SIGSTOP)
    site.end_elsewhere(ids)
    site.release()
    agent.signal(signal.SIGCONT)
    site.healed()
