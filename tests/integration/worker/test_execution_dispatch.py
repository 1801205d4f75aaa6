"""Dispatches that are malformed, repeated, late, or meant for somebody else; and those that are merely unusual."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.mq import topology
from tests.services.brokers import until
from tests.services.deployment import Deployment, rfc3339

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.rabbitmq,
    pytest.mark.parametrize("deployment", ["rabbitmq", "database"], indirect=True, scope="module"),
]


@pytest.fixture
def traced(deployment: Deployment) -> tuple[str, Callable[[], int]]:
    """An action that leaves a line each time it runs, and a function that counts the lines."""
    number = len(deployment.all("SELECT 1 FROM action"))
    trace = deployment.directory / f"trace-{number}"
    trace.touch()
    ref = f"dispatch.traced_{number}"
    deployment.add_action(ref, f"echo ran >> {trace}\n")
    return ref, lambda: len(trace.read_text().splitlines())


def envelope(deployment: Deployment, **payload: Any) -> dict[str, Any]:
    """A dispatch as the executor writes it, to be spoilt."""
    return {
        "message_id": str(uuid.uuid4()),
        "correlation_id": str(uuid.uuid4()),
        "message_type": "ExecutionRequested",
        "version": "1.0",
        "timestamp": rfc3339(datetime.now(UTC)),
        "headers": {"retry_count": 0, "source_service": "executor"},
        "payload": {"worker_id": deployment.agent.worker_id, "action_ref": "dispatch.x", "config": {}} | payload,
    }


def send(deployment: Deployment, body: bytes) -> None:
    """Put any bytes into the agent's queue."""
    deployment.publish_raw(topology.dispatch_key(deployment.agent.worker_id), body)


def settle(deployment: Deployment) -> None:
    """Wait until everything that was sent before has been dealt with: the queue keeps its order."""
    if not deployment.all("SELECT 1 FROM action WHERE ref = 'dispatch.settle'"):
        deployment.add_action("dispatch.settle", ":\n")
    deployment.messages(deployment.run("dispatch.settle").id)


MALFORMED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no json": lambda message: b"\xff{",
    "an array": lambda message: [message],
    "without a type": lambda message: {key: value for key, value in message.items() if key != "message_type"},
    "of an unknown type": lambda message: message | {"message_type": "ExecutionInvented"},
    "of another type": lambda message: message | {"message_type": "ExecutionCompleted"},
    "without a timestamp": lambda message: message | {"timestamp": None},
    "with headers that are null": lambda message: message | {"headers": None},
    "without a payload": lambda message: message | {"payload": None},
    "with an id that is text": lambda message: message | {"payload": message["payload"] | {"execution_id": "7"}},
    "with an id beyond 64 bits": lambda message: message | {"payload": message["payload"] | {"execution_id": 2**63}},
    "without an action": lambda message: message | {"payload": {"execution_id": 7, "worker_id": 1}},
}


@pytest.mark.parametrize("spoil", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_dispatch_is_dead_lettered_and_the_next_one_runs(
    deployment: Deployment, spoil: Callable[[dict[str, Any]], Any]
) -> None:
    spoilt = spoil(envelope(deployment, execution_id=7))
    body = spoilt if isinstance(spoilt, bytes) else json.dumps(spoilt).encode()
    send(deployment, body)
    settle(deployment)
    dead = [message.body for message in deployment.received if message.queue == topology.DEAD_LETTER_QUEUE.name]
    assert body in dead


def test_unknown_keys_and_missing_ids_are_tolerated(
    deployment: Deployment, traced: tuple[str, Callable[[], int]]
) -> None:
    ref, runs = traced
    execution_id = deployment.schedule(ref)
    message = envelope(deployment, execution_id=execution_id, action_ref=ref, invented={"a": 1})
    del message["message_id"], message["headers"], message["version"]
    message |= {"correlation_id": None, "future": True}
    send(deployment, json.dumps(message).encode())
    assert deployment.wait(execution_id).status == "completed"
    assert runs() == 1


def test_a_dispatch_that_is_delivered_twice_runs_once(
    deployment: Deployment, traced: tuple[str, Callable[[], int]]
) -> None:
    ref, runs = traced
    execution_id = deployment.schedule(ref)
    for _ in range(5):
        deployment.dispatch(execution_id)
    deployment.wait(execution_id)
    settle(deployment)
    deployment.dispatch(execution_id)
    settle(deployment)
    assert runs() == 1
    assert len(deployment.messages(execution_id)) == 3


def test_an_execution_that_does_not_exist_is_ignored(deployment: Deployment) -> None:
    send(deployment, json.dumps(envelope(deployment, execution_id=10**12)).encode())
    settle(deployment)
    assert deployment.messages(10**12, until=None) == []
    deployment.agent.wait_for_log(f"execution {10**12} was dispatched here but does not exist")


def test_an_execution_of_another_worker_is_left_alone(
    deployment: Deployment, traced: tuple[str, Callable[[], int]]
) -> None:
    ref, runs = traced
    other = deployment.insert("worker", {"name": f"other-{ref}", "worker_type": "local", "worker_role": "action"})
    execution_id = deployment.schedule(ref, worker=other)
    deployment.dispatch(execution_id, worker=deployment.agent.worker_id)
    settle(deployment)
    assert (deployment.execution(execution_id).status, runs()) == ("scheduled", 0)
    assert deployment.messages(execution_id, until=None) == []


@pytest.mark.parametrize("status", ["requested", "scheduling", "cancelled", "failed", "completed", "abandoned"])
def test_only_a_scheduled_execution_is_run(
    deployment: Deployment, traced: tuple[str, Callable[[], int]], status: str
) -> None:
    ref, runs = traced
    execution_id = deployment.schedule(ref)
    deployment.database.execute("UPDATE execution SET status = %s WHERE id = %s", [status, execution_id])
    deployment.dispatch(execution_id)
    settle(deployment)
    assert (deployment.execution(execution_id).status, runs()) == (status, 0)
    assert deployment.messages(execution_id, until=None) == []


def test_one_that_is_being_cancelled_when_it_arrives_ends_as_cancelled(
    deployment: Deployment, traced: tuple[str, Callable[[], int]]
) -> None:
    ref, runs = traced
    execution_id = deployment.schedule(ref)
    deployment.database.execute("UPDATE execution SET status = 'canceling' WHERE id = %s", [execution_id])
    deployment.dispatch(execution_id)
    done = deployment.wait(execution_id)
    assert (done.status, runs(), done.started_at) == ("cancelled", 0, None)
    assert (done.result["cause"], done.result["cancelled"]) == ("cancelled", True)
    changed, completed = deployment.messages(execution_id)
    assert (changed.payload["previous_status"], changed.payload["new_status"]) == ("canceling", "cancelled")
    assert (completed.payload["status"], completed.payload["result"]) == ("Cancelled", done.result)


def test_an_action_is_also_found_by_its_ref(deployment: Deployment, traced: tuple[str, Callable[[], int]]) -> None:
    ref, runs = traced
    execution_id = deployment.schedule(ref, action=None)
    assert deployment.execution(execution_id).action is None
    deployment.dispatch(execution_id)
    done = deployment.wait(execution_id)
    assert (done.status, runs()) == ("completed", 1)
    completed = deployment.messages(execution_id)[-1]
    assert completed.payload["action_id"] == deployment.one("SELECT id FROM action WHERE ref = %s", [ref])["id"]


def test_an_action_that_was_deleted_meanwhile_fails_the_execution_without_a_completion(
    deployment: Deployment, traced: tuple[str, Callable[[], int]]
) -> None:
    ref, _ = traced
    execution_id = deployment.schedule(ref)
    deployment.database.execute("DELETE FROM action WHERE ref = %s", [ref])
    deployment.dispatch(execution_id)
    done = deployment.wait(execution_id)
    assert (done.status, done.result["cause"]) == ("failed", "invalid")
    assert done.result["error"] == f"Failed to prepare execution context: action {ref} does not exist"
    settle(deployment)
    kinds = [message.payload["new_status"] for message in deployment.messages(execution_id, until=None)]
    assert kinds == ["running", "failed"]


def test_a_changed_action_is_run_as_it_is_now(deployment: Deployment) -> None:
    number = len(deployment.all("SELECT 1 FROM action"))
    ref = f"dispatch.changed_{number}"
    deployment.add_action(ref, "echo one\n")
    assert deployment.run(ref).result["stdout"] == "one\n"
    deployment.write("dispatch", "actions/two.sh", "echo two\n")
    deployment.database.execute("UPDATE action SET entrypoint = 'two.sh' WHERE ref = %s", [ref])
    assert deployment.run(ref).result["stdout"] == "two\n"


def test_requests_to_cancel_what_does_not_run_are_acknowledged(deployment: Deployment) -> None:
    key = topology.cancel_key(deployment.agent.worker_id)
    payload = {"execution_id": 10**12, "worker_id": 1}
    deployment.publish(key, "ExecutionCancelRequested", payload, source="api-service")
    deployment.publish_raw(key, b"no json")
    deployment.publish(key, "ExecutionRequested", payload, source="api-service")
    queue = topology.cancel_queue(deployment.agent.worker_id).name
    until(lambda: deployment.wire.depth(queue) == 0)
    settle(deployment)


def test_a_late_cancellation_changes_nothing(deployment: Deployment, traced: tuple[str, Callable[[], int]]) -> None:
    ref, _ = traced
    done = deployment.run(ref)
    payload = {"execution_id": done.id, "worker_id": done.worker}
    deployment.publish(
        topology.cancel_key(deployment.agent.worker_id), "ExecutionCancelRequested", payload, source="api-service"
    )
    again = deployment.run(ref)
    assert again.status == "completed"
    assert deployment.execution(done.id) == done


def test_more_executions_than_slots_wait_their_turn(
    deployment: Deployment, traced: tuple[str, Callable[[], int]]
) -> None:
    ref, runs = traced
    ids = [deployment.start(ref) for _ in range(25)]
    assert {deployment.wait(id_).status for id_ in ids} == {"completed"}
    assert runs() == 25


def test_nothing_stays_in_the_queue_or_in_hand(deployment: Deployment, traced: tuple[str, Callable[[], int]]) -> None:
    with deployment.another_agent("leaver", ATTUNE_WORKER_RUNTIMES="shell") as agent:
        body = json.dumps(envelope(deployment, execution_id=10**12)).encode()
        deployment.publish_raw(topology.dispatch_key(agent.worker_id), body)
        deployment.publish_raw(topology.dispatch_key(agent.worker_id), b"no json")
        deployment.run(traced[0], worker=agent.worker_id)
    # What was delivered and not acknowledged would be back now.
    assert [deployment.wire.depth(queue) for queue in topology.owned_queues(agent.worker_id)] == [0, 0, 0]
