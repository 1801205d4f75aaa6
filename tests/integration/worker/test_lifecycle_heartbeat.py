"""The heartbeat: it comes, it brings a worker back to life, and it leaves alone what is the operator's.

Promise: a heartbeat restores active.
"""

from __future__ import annotations

import signal

import pytest

from tests.integration.worker.jobs import ONLY_SHELL, Jobs, last_heartbeat, wait_for_beats
from tests.services.deployment import Deployment
from tests.services.proxy import until

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

FAST = {"ATTUNE__WORKER__HEARTBEAT_INTERVAL": "0.1", **ONLY_SHELL}


def status(deployment: Deployment) -> str:
    return str(deployment.one("SELECT status::text FROM worker")["status"])


def test_heartbeats_come_at_the_interval(fresh_deployment: Deployment) -> None:
    fresh_deployment.start_agent(**FAST | {"ATTUNE__WORKER__HEARTBEAT_INTERVAL": "0.5"})
    wait_for_beats(fresh_deployment, 1)
    first = last_heartbeat(fresh_deployment)
    wait_for_beats(fresh_deployment, 2)
    second = last_heartbeat(fresh_deployment)
    assert (second - first).total_seconds() > 0.9


def test_a_worker_that_was_taken_for_dead_is_active_again_with_the_next_beat(fresh_deployment: Deployment) -> None:
    fresh_deployment.start_agent(**FAST)
    for taken_for in ("inactive", "error"):
        fresh_deployment.all(f"UPDATE worker SET status = '{taken_for}'")
        until(lambda: status(fresh_deployment) == "active", "the return to life")


def test_a_heartbeat_never_touches_a_cordon(fresh_deployment: Deployment, jobs: Jobs) -> None:
    fresh_deployment.start_agent(**FAST)
    fresh_deployment.all(
        "UPDATE worker SET cordoned = true, cordon_reason = 'repair', cordoned_at = '2026-01-02', status = 'inactive'"
    )
    until(lambda: status(fresh_deployment) == "active", "the return to life")
    wait_for_beats(fresh_deployment, 2)
    row = fresh_deployment.one("SELECT cordoned, cordon_reason, cordoned_at::date::text AS at FROM worker")
    assert row == {"cordoned": True, "cordon_reason": "repair", "at": "2026-01-02"}
    assert fresh_deployment.run(jobs.QUICK).status == "completed"  # what was dispatched before still runs


def test_a_draining_worker_is_never_made_active(fresh_deployment: Deployment, jobs: Jobs) -> None:
    agent = fresh_deployment.start_agent(**FAST)
    running = jobs.begin()
    agent.signal(signal.SIGTERM)
    until(lambda: status(fresh_deployment) == "busy", "the drain")
    fresh_deployment.all("UPDATE worker SET status = 'inactive'")
    wait_for_beats(fresh_deployment, 3)
    assert status(fresh_deployment) == "inactive"
    jobs.release(running)
    assert agent.wait() == 0
    assert status(fresh_deployment) == "inactive"
