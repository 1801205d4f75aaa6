"""Cancelling before, while and after an execution runs: it ends once, and the row says how.

Promises: every execution ends; the cause is recorded.
"""

from __future__ import annotations

import pytest

from agent.mq import topology
from tests.integration.worker.jobs import ONLY_SHELL, Jobs, gone
from tests.services.deployment import ENDED, Deployment
from tests.services.proxy import until

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


def test_a_running_job_is_cancelled_with_its_whole_group(deployment: Deployment, shared_jobs: Jobs) -> None:
    running = shared_jobs.begin()
    (pid,) = shared_jobs.starts(running)
    deployment.cancel(running)
    row = deployment.wait(running)
    assert (row.status, row.result["cause"], row.result["cancelled"]) == ("cancelled", "cancelled", True)
    assert gone(pid)
    changes = [(m.payload.get("previous_status"), m.payload.get("new_status")) for m in deployment.messages(running)]
    assert changes == [("scheduled", "running"), ("canceling", "cancelled"), (None, None)]
    assert [m.payload["status"] for m in shared_jobs.completions(running)] == ["Cancelled"]


def test_a_job_that_says_cancelled_and_fails_is_not_cancelled(deployment: Deployment) -> None:
    deployment.add_action("job.liar", "#!/bin/sh\necho cancelled >&2\nexit 3\n")
    row = deployment.run("job.liar")
    assert (row.status, row.result["cause"], row.result["exit_code"]) == ("failed", "exit", 3)


def test_what_is_cancelled_while_it_waits_for_a_slot_never_runs(fresh_deployment: Deployment, jobs: Jobs) -> None:
    fresh_deployment.start_agent(ATTUNE__WORKER__MAX_CONCURRENT_TASKS="1", **ONLY_SHELL)
    running = jobs.begin()
    # Before it runs, the API writes `cancelled` itself and tells nobody; the executor cascades with `canceling`.
    by_api, by_executor = fresh_deployment.start(jobs.QUICK), fresh_deployment.start(jobs.QUICK)
    fresh_deployment.all(f"UPDATE execution SET status = 'cancelled' WHERE id = {by_api}")
    fresh_deployment.cancel(by_executor)
    fresh_deployment.agent.wait_for_log(
        f"received a request to cancel execution {by_executor}, which does not run here"
    )
    jobs.release(running)
    assert fresh_deployment.wait(by_executor).status == "cancelled"
    assert [m.payload["status"] for m in jobs.completions(by_executor)] == ["Cancelled"]
    assert jobs.completions(by_api) == []
    assert jobs.starts(by_api) == jobs.starts(by_executor) == []


def test_a_cancellation_that_overtakes_the_claim_counts(deployment: Deployment, shared_jobs: Jobs) -> None:
    worker = deployment.agent.worker_id
    with deployment.connect() as other:
        execution_id = deployment.schedule(shared_jobs.QUICK)
        with other.transaction():
            other.execute(f"SELECT 1 FROM execution WHERE id = {execution_id} FOR UPDATE")
            deployment.dispatch(execution_id)
            until(
                lambda: deployment.all(
                    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                ),
                "the attempt to claim",
            )
            payload = {"execution_id": execution_id, "worker_id": worker}
            deployment.publish(topology.cancel_key(worker), "ExecutionCancelRequested", payload, source="api")
            deployment.agent.wait_for_log(f"received a request to cancel execution {execution_id}")
    row = deployment.wait(execution_id)
    assert (row.status, row.result["cause"]) == ("cancelled", "cancelled")
    assert shared_jobs.starts(execution_id) == []
    assert [m.payload["status"] for m in shared_jobs.completions(execution_id)] == ["Cancelled"]


def test_cancelling_what_has_ended_or_never_was_changes_nothing(deployment: Deployment, shared_jobs: Jobs) -> None:
    worker = deployment.agent.worker_id
    ended = deployment.run(shared_jobs.QUICK)
    for execution_id in (ended.id, 987654):
        payload = {"execution_id": execution_id, "worker_id": worker}
        deployment.publish(topology.cancel_key(worker), "ExecutionCancelRequested", payload, source="api-service")
        deployment.agent.wait_for_log(f"received a request to cancel execution {execution_id}, which does not run here")
    deployment.publish_raw(topology.cancel_key(worker), b"not json")
    deployment.agent.wait_for_log("malformed request to cancel")
    assert shared_jobs.assert_ran_once(ended.id) == ended
    # An id that was cancelled before it came is not remembered against a later execution.
    later = deployment.start(shared_jobs.QUICK)
    shared_jobs.assert_ran_once(later)
    until(lambda: deployment.wire.depth(topology.cancel_queue(worker).name) == 0, "the end of the queue")


def test_a_cancellation_that_meets_the_end_leaves_one_end_and_one_completion(
    deployment: Deployment, shared_jobs: Jobs
) -> None:
    deployment.add_action("job.blink", "#!/bin/sh\nsleep 0.0$ATTUNE_EXEC_ID 2>/dev/null || :\n")
    executions = [deployment.start("job.blink") for _ in range(30)]
    for execution_id in executions:
        deployment.all("UPDATE execution SET status = 'canceling' WHERE id = %s AND status = 'running'", [execution_id])
        payload = {"execution_id": execution_id, "worker_id": deployment.agent.worker_id}
        key = topology.cancel_key(deployment.agent.worker_id)
        deployment.publish(key, "ExecutionCancelRequested", payload, source="api-service")
    told = {"completed": "Completed", "cancelled": "Cancelled"}
    rows = [deployment.wait(execution_id, *ENDED) for execution_id in executions]
    shared_jobs.completions(executions[-1])
    for row in rows:
        messages = deployment.messages(row.id)
        assert [m.payload["status"] for m in messages if m.kind == "ExecutionCompleted"] == [told[row.status]]
