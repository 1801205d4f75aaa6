"""Any agent cleans up after an ephemeral worker that is gone, and says which pod it is itself."""

from __future__ import annotations

import signal
from typing import Any

import pika.exceptions
import pytest

from agent.mq import topology
from tests.integration.worker.jobs import ONLY_SHELL, Jobs
from tests.services.agent_process import AgentProcess
from tests.services.deployment import Deployment
from tests.services.proxy import until

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

QUICK: dict[str, Any] = {"ATTUNE__WORKER__HEARTBEAT_INTERVAL": "1", **ONLY_SHELL}
EPHEMERAL: dict[str, Any] = {
    "ATTUNE__WORKER__EPHEMERAL": "true",
    "ATTUNE__WORKER__MAX_CONCURRENT_TASKS": "1",
    **QUICK,
}


def row(deployment: Deployment, agent: AgentProcess) -> dict[str, Any]:
    return deployment.one("SELECT status::text, meta, capabilities FROM worker WHERE name = %s", [agent.name])


def queues(deployment: Deployment, agent: AgentProcess) -> int:
    return sum(_exists(deployment, queue) for queue in topology.owned_queues(agent.worker_id))


def _exists(deployment: Deployment, queue: str) -> bool:
    if deployment.wire.kind == "database":
        return bool(deployment.all("SELECT 1 FROM mq_queue WHERE name = %s", [queue]))
    try:
        deployment.wire.depth(queue)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    return True


def wait_for_beats(deployment: Deployment, agent: AgentProcess, count: int) -> None:
    """Wait for so many heartbeats: by then an agent has looked around as often."""
    query = "SELECT last_heartbeat FROM worker WHERE name = %s"
    for _ in range(count):
        before = deployment.one(query, [agent.name])
        until(lambda before=before: deployment.one(query, [agent.name]) != before, "a heartbeat")  # type: ignore[misc]


@pytest.mark.parametrize("fresh_deployment", ["rabbitmq", "database"], indirect=True)
def test_what_a_killed_worker_ran_is_abandoned_and_what_it_had_not_begun_is_handed_back(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    deployment = fresh_deployment
    deployment.start_agent("other", **QUICK)
    gone = deployment.start_agent("worker-1", **EPHEMERAL)
    running = jobs.begin()
    waiting = [deployment.start(jobs.GATE) for _ in range(3)]
    gone.kill()
    ended = deployment.wait(running)
    assert (ended.status, ended.result["cause"]) == ("abandoned", "worker_lost")
    assert "worker worker-1 is gone: no heartbeat for" in ended.result["error"]
    until(lambda: row(deployment, gone)["status"] == "inactive", "the last write")
    assert [deployment.execution(id_).status for id_ in waiting] == ["requested"] * 3
    assert queues(deployment, gone) == 0
    assert [m.payload["status"] for m in deployment.messages(running) if m.kind == "ExecutionCompleted"] == [
        "Abandoned"
    ]
    for execution in waiting:
        (message,) = deployment.messages(execution, until="ExecutionRequested")
        assert message.routing_key == "execution.requested"


def test_it_is_done_once_by_whoever_is_first(fresh_deployment: Deployment, jobs: Jobs) -> None:
    others = [fresh_deployment.start_agent(f"other-{number}", **QUICK) for number in range(3)]
    gone = fresh_deployment.start_agent("worker-1", **EPHEMERAL)
    running = jobs.begin()
    gone.kill()
    fresh_deployment.wait(running)
    until(lambda: row(fresh_deployment, gone)["status"] == "inactive", "the last write")
    for other in others:
        wait_for_beats(fresh_deployment, other, 2)
    assert len([other for other in others if "worker worker-1 is gone" in other.log()]) == 1
    found = fresh_deployment.messages(running)
    assert [m.payload["status"] for m in found if m.kind == "ExecutionCompleted"] == ["Abandoned"]


def test_a_permanent_worker_and_one_whose_process_lives_are_left_alone(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    other = fresh_deployment.start_agent("other", **QUICK)
    permanent = fresh_deployment.start_agent("permanent", **QUICK)
    stopped = fresh_deployment.start_agent("worker-1", **EPHEMERAL)
    running = jobs.begin()
    permanent.kill()
    stopped.signal(signal.SIGSTOP)
    try:
        wait_for_beats(fresh_deployment, other, 6)
        assert fresh_deployment.execution(running).status == "running"
        assert row(fresh_deployment, permanent)["status"] == "active"
        assert queues(fresh_deployment, permanent) == queues(fresh_deployment, stopped) == 3
    finally:
        stopped.signal(signal.SIGCONT)


def test_the_last_worker_takes_its_empty_queues_along(fresh_deployment: Deployment) -> None:
    leaving = fresh_deployment.start_agent("worker-1", **EPHEMERAL)
    assert leaving.stop() == 0
    assert queues(fresh_deployment, leaving) == 0


@pytest.mark.parametrize("fresh_deployment", ["rabbitmq", "database"], indirect=True)
def test_no_queue_comes_back_however_long_the_last_write_takes(fresh_deployment: Deployment, jobs: Jobs) -> None:
    """A consumer whose queue is deleted takes that for an outage: it connects and declares the queue again."""
    leaving = fresh_deployment.start_agent("worker-1", **EPHEMERAL)
    running = jobs.begin()
    leaving.signal(signal.SIGTERM)
    leaving.wait_for_log("draining: 1 executions are running")
    with fresh_deployment.connect() as connection, connection.transaction():
        connection.execute("SELECT 1 FROM worker WHERE name = 'worker-1' FOR UPDATE")
        jobs.release(running)
        until(lambda: queues(fresh_deployment, leaving) == 0, "the end of the queues")
        # By the time that another agent has started, a consumer would have connected again.
        fresh_deployment.start_agent("next", **QUICK)
        assert row(fresh_deployment, leaving)["status"] == "busy"
        assert queues(fresh_deployment, leaving) == 0
    assert leaving.wait() == 0
    assert queues(fresh_deployment, leaving) == 0


def test_what_the_last_worker_left_in_its_queue_is_handed_back_by_the_next(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    leaving = fresh_deployment.start_agent("worker-1", **EPHEMERAL)
    running = jobs.begin()
    waiting = fresh_deployment.start(jobs.GATE)
    leaving.signal(signal.SIGTERM)
    leaving.wait_for_log("draining: 1 executions are running")
    jobs.release(running)
    assert leaving.wait() == 0
    assert fresh_deployment.execution(waiting).status == "scheduled"
    fresh_deployment.start_agent("next", **QUICK)
    fresh_deployment.wait(waiting, "requested")
    until(lambda: queues(fresh_deployment, leaving) == 0, "the end of the queues")
    assert fresh_deployment.execution(running).status == "completed"


def test_a_worker_says_where_it_runs(fresh_deployment: Deployment) -> None:
    labels = fresh_deployment.directory / "labels"
    labels.write_text('pool="gpu"\nzone="a"\n')
    agent = fresh_deployment.start_agent(
        "worker-1",
        ATTUNE__WORKER__LABELS_FILE=str(labels),
        ATTUNE__WORKER__LABELS__ZONE="b",
        ATTUNE__WORKER__ORIGIN__POD="python-5d8f-x2",
        ATTUNE__WORKER__ORIGIN__NODE="node-7",
        ATTUNE__WORKER__MAX_CONCURRENT_TASKS="auto",
        **{name: value for name, value in EPHEMERAL.items() if not name.endswith("TASKS")},
    )
    found = row(fresh_deployment, agent)
    assert found["meta"]["origin"] == {"pod": "python-5d8f-x2", "node": "node-7"}
    assert found["capabilities"]["labels"] == {"pool": "gpu", "zone": "b"}
    assert found["capabilities"]["max_concurrent_executions"] >= 1
    assert (found["capabilities"]["ephemeral"], found["capabilities"]["heartbeat_interval"]) == (True, 1)
