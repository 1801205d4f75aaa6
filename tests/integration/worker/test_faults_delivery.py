"""Deliveries that come twice, too late or to the wrong worker: nothing runs twice, nothing is lost.

Promise: claim before acknowledge.
"""

from __future__ import annotations

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from agent.mq import topology
from tests.integration.worker.jobs import ONLY_SHELL, Jobs
from tests.services.deployment import Deployment
from tests.services.proxy import broker_proxy, until
from tests.services.rabbitmq import RabbitNode
from tests.services.wire import RabbitWire

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have both brokers deliver."""
    if "deployment" in metafunc.fixturenames:
        metafunc.parametrize("deployment", ["rabbitmq", "database"], indirect=True, scope="module")


def settled(deployment: Deployment, jobs: Jobs) -> None:
    """Wait until the dispatches sent so far have been dealt with: the queue keeps their order."""
    deployment.run(jobs.QUICK)
    queue = topology.executions_queue(deployment.agent.worker_id).name
    until(lambda: deployment.wire.depth(queue) == 0, "the delivery of all dispatches")


def test_a_second_delivery_while_it_runs_is_ignored(deployment: Deployment, shared_jobs: Jobs) -> None:
    running = shared_jobs.begin()
    for _ in range(3):
        deployment.dispatch(running)
    settled(deployment, shared_jobs)
    shared_jobs.release(running)
    shared_jobs.assert_ran_once(running)


def test_a_second_delivery_after_its_end_is_ignored(deployment: Deployment, shared_jobs: Jobs) -> None:
    ended = deployment.run(shared_jobs.QUICK)
    deployment.dispatch(ended.id)
    settled(deployment, shared_jobs)
    assert shared_jobs.assert_ran_once(ended.id) == ended


def test_two_deliveries_at_once_run_once(deployment: Deployment, shared_jobs: Jobs) -> None:
    executions = [deployment.schedule(shared_jobs.QUICK) for _ in range(10)]
    for execution_id in executions:
        deployment.dispatch(execution_id)
        deployment.dispatch(execution_id)
    for execution_id in executions:
        shared_jobs.assert_ran_once(execution_id)


def test_a_dispatch_of_what_another_worker_runs_is_ignored(deployment: Deployment, shared_jobs: Jobs) -> None:
    other = deployment.one(
        "INSERT INTO worker (name, worker_type, worker_role, status) VALUES ('other', 'local', 'action', 'active')"
        " RETURNING id"
    )["id"]
    execution_id = deployment.schedule(shared_jobs.QUICK, worker=other)
    before = deployment.execution(execution_id)
    deployment.dispatch(execution_id, worker=deployment.agent.worker_id)
    settled(deployment, shared_jobs)
    assert shared_jobs.starts(execution_id) == []
    assert deployment.execution(execution_id) == before
    assert deployment.messages(execution_id, until=None) == []


@pytest.mark.parametrize("status", ["cancelled", "failed", "requested", "completed"])
def test_what_is_not_scheduled_any_more_is_not_run(deployment: Deployment, shared_jobs: Jobs, status: str) -> None:
    execution_id = deployment.schedule(shared_jobs.QUICK)
    deployment.all(f"UPDATE execution SET status = '{status}' WHERE id = {execution_id}")
    before = deployment.execution(execution_id)
    deployment.dispatch(execution_id)
    settled(deployment, shared_jobs)
    assert shared_jobs.starts(execution_id) == []
    assert deployment.execution(execution_id) == before
    assert deployment.messages(execution_id, until=None) == []


def test_what_is_being_cancelled_when_it_arrives_is_cancelled_and_told(
    deployment: Deployment, shared_jobs: Jobs
) -> None:
    execution_id = deployment.schedule(shared_jobs.QUICK)
    deployment.all(f"UPDATE execution SET status = 'canceling' WHERE id = {execution_id}")
    deployment.dispatch(execution_id)
    row = deployment.wait(execution_id)
    assert (row.status, row.result["cancelled"], row.result["cause"]) == ("cancelled", True, "cancelled")
    told = [(m.kind, m.payload.get("new_status")) for m in deployment.messages(execution_id)]
    assert told == [("ExecutionStatusChanged", "cancelled"), ("ExecutionCompleted", None)]
    assert [m.payload["status"] for m in shared_jobs.completions(execution_id)] == ["Cancelled"]
    assert shared_jobs.starts(execution_id) == []


def test_a_dispatch_of_an_execution_that_does_not_exist_is_ignored(deployment: Deployment, shared_jobs: Jobs) -> None:
    worker = deployment.agent.worker_id
    payload = {"execution_id": 987654, "worker_id": worker, "action_ref": shared_jobs.QUICK}
    deployment.publish(topology.dispatch_key(worker), "ExecutionRequested", payload, source="executor")
    settled(deployment, shared_jobs)
    deployment.agent.wait_for_log("execution 987654 was dispatched here but does not exist")


def test_malformed_dispatches_are_dead_lettered_and_hold_nothing_up(deployment: Deployment, shared_jobs: Jobs) -> None:
    worker = deployment.agent.worker_id
    bodies = [b"", b"{", b"[]", b"\xff\xfe", b'{"message_type":"ExecutionRequested"}']
    for body in bodies:
        deployment.publish_raw(topology.dispatch_key(worker), body)
    deployment.publish(topology.dispatch_key(worker), "RuleCreated", {}, source="api-service")
    settled(deployment, shared_jobs)
    until(
        lambda: deployment.wire.depth(topology.DEAD_LETTER_QUEUE.name) == len(bodies) + 1,
        "the dead-lettering of what was refused",
    )


def test_connections_that_break_between_delivery_and_acknowledgement_run_everything_once(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    with broker_proxy(fresh_deployment.wire.url) as (proxy, url), fresh_deployment.connect() as other:
        fresh_deployment.start_agent(ATTUNE__MESSAGE_QUEUE__URL=url, **ONLY_SHELL)
        executions = [fresh_deployment.schedule(jobs.QUICK) for _ in range(4)]
        with other.transaction():
            # Whoever holds the rows keeps the agent between the delivery and the claim.
            other.execute("SELECT 1 FROM execution FOR UPDATE")
            for execution_id in executions:
                fresh_deployment.dispatch(execution_id)
            until(lambda: _is_blocked(fresh_deployment), "the attempt to claim")
            proxy.cut()
        for execution_id in executions:
            jobs.assert_ran_once(execution_id)
        queue = topology.executions_queue(fresh_deployment.agent.worker_id).name
        until(lambda: fresh_deployment.wire.depth(queue) == 0, "the acknowledgement of the second delivery")


def test_connections_that_break_while_more_waits_than_there_are_slots_run_everything_once(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    with broker_proxy(fresh_deployment.wire.url) as (proxy, url):
        settings = {"ATTUNE__WORKER__MAX_CONCURRENT_TASKS": "2", "ATTUNE__MESSAGE_QUEUE__URL": url, **ONLY_SHELL}
        fresh_deployment.start_agent(**settings)
        running = [jobs.begin(), jobs.begin()]
        waiting = [fresh_deployment.start(jobs.GATE) for _ in range(8)]
        queue = topology.executions_queue(fresh_deployment.agent.worker_id).name
        for _ in range(2):
            until(lambda: fresh_deployment.wire.depth(queue) == 4, "the delivery of as many as are prefetched")
            proxy.cut()
            until(lambda: fresh_deployment.wire.depth(queue) == 8, "the return of what was prefetched")
        jobs.release()
        for execution_id in (*running, *waiting):
            jobs.assert_ran_once(execution_id)


def _is_blocked(deployment: Deployment) -> bool:
    return bool(
        deployment.all(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND query LIKE '%claimed%'"
        )
    )


@pytest.mark.parametrize("way", ["expired", "rejected", "unroutable", "wiped"])
def test_a_dispatch_that_was_lost_on_its_way_delays_its_execution_and_nothing_else(
    fresh_deployment: Deployment, jobs: Jobs, rabbit_node: RabbitNode, way: str
) -> None:
    agent = fresh_deployment.start_agent(**ONLY_SHELL)
    queue = topology.executions_queue(agent.worker_id).name
    assert agent.stop() == 0
    if way == "unroutable":
        _channel(fresh_deployment).queue_delete(queue)
    lost = fresh_deployment.start(jobs.QUICK, worker=agent.worker_id)
    if way == "expired":  # as after five minutes: a message expires at the head of its queue
        channel = _channel(fresh_deployment)
        _, properties, body = channel.basic_get(queue, auto_ack=True)
        properties.expiration = "1"
        channel.basic_publish("", queue, body, properties)
    elif way == "rejected":
        channel = _channel(fresh_deployment)
        method, _, _ = channel.basic_get(queue)
        channel.basic_reject(method.delivery_tag, requeue=False)
    elif way == "wiped":
        name = fresh_deployment.wire.url.rpartition("/")[2]
        rabbit_node.drop_vhost(name)
        rabbit_node.vhost_url(name)
        fresh_deployment.wire.declare()
    if way != "unroutable" and way != "wiped":
        until(lambda: fresh_deployment.wire.depth(queue) == 0, "the loss")
    again = fresh_deployment.start_agent(**ONLY_SHELL)
    jobs.assert_ran_once(fresh_deployment.start(jobs.QUICK, worker=agent.worker_id))
    assert fresh_deployment.execution(lost).status in ("scheduled", "completed")
    fresh_deployment.wait(lost)
    jobs.assert_ran_once(lost)
    again.wait_for_log("whose dispatches have not come")


def _channel(deployment: Deployment) -> BlockingChannel:
    assert isinstance(deployment.wire, RabbitWire)
    return deployment.wire.channel


def test_what_is_scheduled_for_long_and_never_dispatched_is_run(fresh_deployment: Deployment, jobs: Jobs) -> None:
    agent = fresh_deployment.start_agent(**ONLY_SHELL)
    fresh_deployment.start_agent("other", **ONLY_SHELL)
    lost = [fresh_deployment.schedule(jobs.QUICK, worker=agent.worker_id) for _ in range(6)]
    for execution_id in lost:
        row = fresh_deployment.wait(execution_id, timeout=40)
        assert (row.status, row.worker) == ("completed", agent.worker_id)
        # A dispatch that comes very late after all runs nothing.
        fresh_deployment.dispatch(execution_id)
    for execution_id in lost:
        assert len(jobs.starts(execution_id)) == 1
