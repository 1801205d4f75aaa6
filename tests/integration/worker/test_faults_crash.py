"""An agent that is killed: the next process ends what this one left, and repeats what may not be told.

Promises: commit before publish; every execution ends.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.worker.jobs import ONLY_SHELL, Jobs, gone
from tests.services.deployment import Deployment
from tests.services.proxy import until

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


@pytest.mark.parametrize("fresh_deployment", ["rabbitmq", "database"], indirect=True)
def test_what_ran_when_the_agent_was_killed_is_abandoned_by_its_next_life(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    fresh_deployment.start_agent(**ONLY_SHELL)
    lost, cancelled = jobs.begin(), jobs.begin()
    fresh_deployment.agent.kill()
    fresh_deployment.all(f"UPDATE execution SET status = 'canceling' WHERE id = {cancelled}")
    fresh_deployment.start_agent(**ONLY_SHELL)
    row = fresh_deployment.execution(lost)
    assert (row.status, row.result["cause"], row.result["succeeded"]) == ("abandoned", "worker_lost", False)
    assert [m.payload["status"] for m in jobs.completions(lost)] == ["Abandoned"]
    assert [m.payload.get("new_status") for m in fresh_deployment.messages(lost)] == ["running", "abandoned", None]
    row = fresh_deployment.execution(cancelled)
    assert (row.status, row.result["cause"], row.result["cancelled"]) == ("cancelled", "cancelled", True)
    assert [m.payload["status"] for m in jobs.completions(cancelled)] == ["Cancelled"]
    # A delivery that comes again, because the crash kept it from being acknowledged, changes nothing.
    before = fresh_deployment.execution(lost)
    fresh_deployment.dispatch(lost)
    assert [m.payload["status"] for m in jobs.completions(lost)] == ["Abandoned"]
    assert fresh_deployment.execution(lost) == before
    assert len(jobs.starts(lost)) == 1


def test_another_workers_executions_are_left_alone(fresh_deployment: Deployment, jobs: Jobs) -> None:
    fresh_deployment.start_agent("other", **ONLY_SHELL)
    others = jobs.begin()
    fresh_deployment.start_agent("worker-1", **ONLY_SHELL)
    assert fresh_deployment.execution(others).status == "running"
    jobs.release(others)
    jobs.assert_ran_once(others)


def test_the_completions_of_the_last_heartbeats_are_repeated_identically(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    fresh_deployment.start_agent(**ONLY_SHELL)
    recent, old = fresh_deployment.run(jobs.QUICK).id, fresh_deployment.run(jobs.QUICK).id
    (first,) = jobs.completions(recent)
    fresh_deployment.messages(old)
    fresh_deployment.agent.kill()
    with fresh_deployment.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")  # keeps the trigger from setting `updated`
        connection.execute("UPDATE execution SET updated = updated - interval '1 h' WHERE id = %s", [old])
    fresh_deployment.start_agent(**ONLY_SHELL)
    until(lambda: len(jobs.completions(recent)) == 2, "the second completion")
    second = jobs.completions(recent)[1]
    assert (second.body, second.properties) == (first.body, first.properties)
    assert second.envelope["message_id"] == first.properties["message_id"]
    assert len(jobs.completions(old)) == 1


def test_a_log_that_was_recorded_but_not_retired_before_the_crash_is_retired(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    fresh_deployment.start_agent(**ONLY_SHELL)
    live = (
        fresh_deployment.artifacts / f"execution_{fresh_deployment.run('core.echo', {'message': 'hi'}).id}/stdout.log"
    )
    until(live.is_symlink, "retiring the live log, which follows the commit")
    final = live.resolve()
    fresh_deployment.agent.kill()
    live.unlink()
    live.hardlink_to(final)  # what a process leaves that was killed between the commit and the next step
    fresh_deployment.start_agent(**ONLY_SHELL)
    until(live.is_symlink, "the link")
    assert live.resolve() == final and final.stat().st_nlink == 1


def test_an_end_that_a_monitor_has_announced_is_not_announced_again(fresh_deployment: Deployment, jobs: Jobs) -> None:
    fresh_deployment.start_agent(**ONLY_SHELL)
    lost = jobs.begin()
    fresh_deployment.agent.kill()
    fresh_deployment.all(
        "UPDATE execution SET status = 'abandoned', result = '{\"abandoned_by\": \"execution_timeout_monitor\"}'"
        f" WHERE id = {lost}"
    )
    fresh_deployment.start_agent(**ONLY_SHELL)
    assert jobs.completions(lost) == []
    assert fresh_deployment.execution(lost).result == {"abandoned_by": "execution_timeout_monitor"}


def test_an_end_that_was_written_while_the_job_ran_stands(fresh_deployment: Deployment, jobs: Jobs) -> None:
    fresh_deployment.start_agent(**ONLY_SHELL)
    running = jobs.begin()
    fresh_deployment.all(f"UPDATE execution SET status = 'abandoned', result = '{{}}' WHERE id = {running}")
    jobs.release(running)
    fresh_deployment.agent.wait_for_log(f"execution {running} was ended by another program")
    assert jobs.completions(running) == []
    assert (fresh_deployment.execution(running).status, fresh_deployment.execution(running).result) == ("abandoned", {})


@pytest.mark.parametrize("fresh_deployment", ["rabbitmq", "database"], indirect=True)
def test_dispatches_that_wait_in_the_queue_survive_a_crash(fresh_deployment: Deployment, jobs: Jobs) -> None:
    fresh_deployment.start_agent(ATTUNE__WORKER__MAX_CONCURRENT_TASKS="1", **ONLY_SHELL)
    lost = jobs.begin()
    waiting = [fresh_deployment.start(jobs.QUICK) for _ in range(6)]
    fresh_deployment.agent.kill()
    fresh_deployment.start_agent(**ONLY_SHELL)
    assert fresh_deployment.wait(lost).status == "abandoned"
    for execution_id in waiting:
        jobs.assert_ran_once(execution_id)


@pytest.mark.parametrize("cleared", ["", "env -i setsid "], ids=["environment kept", "environment cleared"])
def test_what_jobs_of_a_killed_agent_left_running_is_killed_before_their_rows_end(
    fresh_deployment: Deployment, jobs: Jobs, cleared: str
) -> None:
    pids = jobs.traces / "pids"
    fresh_deployment.add_action(
        "job.leaver",
        f"#!/bin/sh\n{cleared}sh -c 'echo $$ >> $0; exec sleep 600' {pids} >/dev/null 2>&1 &\n"
        f"echo $$ >> {pids}\necho $$ >> {jobs.traces}/started.$ATTUNE_EXEC_ID\nwait\nsleep 600\n",
    )
    fresh_deployment.start_agent(**ONLY_SHELL)
    with fresh_deployment.another_agent("neighbour", **ONLY_SHELL) as neighbour:
        spared = fresh_deployment.start(jobs.GATE, worker=neighbour.worker_id)
        jobs.wait_started(spared)
        lost = jobs.begin("job.leaver")
        until(lambda: len(pids.read_text().split()) == 2, "both processes")
        left = pids.read_text().split()
        fresh_deployment.agent.kill()
        assert all(Path(f"/proc/{pid}").exists() for pid in left)
        fresh_deployment.start_agent(**ONLY_SHELL)
        assert fresh_deployment.execution(lost).status == "abandoned"
        until(lambda: all(gone(int(pid)) for pid in left), "the end of what was left")
        assert not gone(jobs.starts(spared)[0])
        jobs.release(spared)
        assert fresh_deployment.wait(spared).status == "completed"
