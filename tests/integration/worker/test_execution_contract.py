"""One execution as its peers see it: rows, histories and messages, the same over both brokers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from agent.mq import topology
from tests.services.deployment import Deployment
from tests.services.wire import Message

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.rabbitmq,
    pytest.mark.parametrize("deployment", ["rabbitmq", "database"], indirect=True, scope="module"),
]


@pytest.fixture(autouse=True)
def _actions(deployment: Deployment) -> Iterator[None]:
    if not deployment.all("SELECT 1 FROM action WHERE ref = 'contract.succeed'"):
        deployment.add_action("contract.succeed", "echo done; echo trouble >&2\n")
        deployment.add_action("contract.fail", "echo before; echo trouble >&2; exit 3\n")
        deployment.add_action("contract.linger", "echo started; sleep 600 & wait\n")
        deployment.add_action("contract.json", "echo '{\"answer\": 42}'\n", output_format="json")
    return iter(())


def test_the_row_runs_and_ends(deployment: Deployment) -> None:
    execution_id = deployment.schedule("contract.succeed")
    before = deployment.execution(execution_id)
    deployment.dispatch(execution_id)
    after = deployment.wait(execution_id)
    assert (after.status, after.worker, after.action) == ("completed", before.worker, before.action)
    assert (after.created, after.config) == (before.created, before.config)
    assert after.started_at is not None
    assert before.updated < after.started_at < after.updated


def test_a_success_is_told_by_three_messages_in_order(deployment: Deployment) -> None:
    done = deployment.run("contract.succeed")
    running, changed, completed = deployment.messages(done.id)
    assert running.payload == {
        "execution_id": done.id,
        "action_ref": "contract.succeed",
        "previous_status": "scheduled",
        "new_status": "running",
        "changed_at": running.envelope["timestamp"],
    }
    assert changed.payload == {
        "execution_id": done.id,
        "action_ref": "contract.succeed",
        "previous_status": "running",
        "new_status": "completed",
        "changed_at": changed.envelope["timestamp"],
    }
    assert completed.payload == {
        "execution_id": done.id,
        "action_id": done.action,
        "action_ref": "contract.succeed",
        "status": "Completed",
        "result": done.result,
        "completed_at": completed.envelope["timestamp"],
    }
    assert type(completed.payload["action_id"]) is int


def test_the_messages_carry_the_times_of_the_row(deployment: Deployment) -> None:
    done = deployment.run("contract.succeed")
    running, changed, completed = deployment.messages(done.id)
    assert datetime.fromisoformat(running.payload["changed_at"]) == done.started_at
    assert datetime.fromisoformat(changed.payload["changed_at"]) == done.updated
    assert datetime.fromisoformat(completed.payload["completed_at"]) == done.updated


def test_a_failure_is_told_as_a_failure(deployment: Deployment) -> None:
    done = deployment.run("contract.fail")
    _, changed, completed = deployment.messages(done.id)
    assert (changed.payload["previous_status"], changed.payload["new_status"]) == ("running", "failed")
    assert (completed.payload["status"], completed.payload["result"]) == ("Failed", done.result)


def test_a_cancellation_is_told_from_the_status_that_the_row_had(deployment: Deployment) -> None:
    execution_id = deployment.start("contract.linger")
    deployment.wait(execution_id, "running")
    deployment.cancel(execution_id)
    done = deployment.wait(execution_id)
    _, changed, completed = deployment.messages(execution_id)
    assert (changed.payload["previous_status"], changed.payload["new_status"]) == ("canceling", "cancelled")
    assert (completed.payload["status"], completed.payload["result"]) == ("Cancelled", done.result)


@pytest.mark.parametrize("action", ["contract.succeed", "contract.fail"])
def test_every_envelope_has_exactly_the_keys_of_the_contract(deployment: Deployment, action: str) -> None:
    for message in deployment.messages(deployment.run(action).id):
        envelope = message.envelope
        assert set(envelope) == {
            *("message_id", "correlation_id", "message_type", "version", "timestamp", "headers", "payload")
        }
        assert envelope["version"] == "1.0"
        assert envelope["headers"] == {"retry_count": 0, "source_service": "worker"}
        assert envelope["correlation_id"] == envelope["message_id"]
        assert envelope["timestamp"].endswith("Z")


def test_ids_follow_from_execution_and_status_so_that_a_repetition_is_recognised(deployment: Deployment) -> None:
    done = deployment.run("contract.succeed")
    namespace = uuid.UUID("6f1d3a52-0c1f-5b7e-9d0a-4e2b8c7f1a36")
    names = [
        f"status-changed:{done.id}:running",
        f"status-changed:{done.id}:completed",
        f"completed:{done.id}:completed",
    ]
    ids = [message.envelope["message_id"] for message in deployment.messages(done.id)]
    assert ids == [str(uuid.uuid5(namespace, name)) for name in names]


def test_properties_repeat_what_the_envelope_says(deployment: Deployment) -> None:
    for message in deployment.messages(deployment.run("contract.succeed").id):
        expected = {"message_id": message.envelope["message_id"], "correlation_id": message.envelope["correlation_id"]}
        if deployment.wire.kind == "rabbitmq":
            expected |= {"content_type": "application/json", "delivery_mode": 2, "timestamp": _seconds(message)}
            unset = {key for key, value in message.properties.items() if value is None}
            assert unset == set(message.properties) - set(expected)
        else:
            expected |= {"sent_at": datetime.fromtimestamp(_seconds(message), UTC)}
        assert {key: message.properties[key] for key in expected} == expected


def test_messages_reach_the_queues_of_the_executor(deployment: Deployment) -> None:
    done = deployment.run("contract.succeed")
    deployment.messages(done.id)
    changes = deployment.in_queue(topology.STATUS.name, done.id)
    assert [m.payload["new_status"] for m in changes] == ["running", "completed"]
    assert [m.kind for m in deployment.in_queue(topology.COMPLETED.name, done.id)] == ["ExecutionCompleted"]
    assert {m.exchange for m in changes} == {"attune.executions"}


def test_the_row_is_committed_when_its_completion_arrives(deployment: Deployment) -> None:
    for _ in range(5):
        execution_id = deployment.start("contract.json")
        deployment.messages(execution_id)
        assert deployment.execution(execution_id).status == "completed"


def test_the_completion_carries_parsed_data(deployment: Deployment) -> None:
    completed = deployment.messages(deployment.run("contract.json").id)[-1]
    assert completed.payload["result"]["data"] == {"answer": 42}


def test_there_is_exactly_one_completion(deployment: Deployment) -> None:
    done = deployment.run("contract.succeed")
    deployment.messages(done.id)
    # Whatever else there was about the first is in the queues by the time that a second one has ended.
    deployment.messages(deployment.run("contract.succeed").id)
    assert len(deployment.messages(done.id, until=None)) == 3


def test_the_history_records_each_step_and_a_digest_of_the_result(deployment: Deployment) -> None:
    done = deployment.run("contract.succeed")
    rows = deployment.all(
        "SELECT operation, changed_fields, old_values, new_values, entity_ref FROM execution_history"
        " WHERE entity_id = %s ORDER BY time",
        [done.id],
    )
    assert [row["operation"] for row in rows] == ["INSERT", "UPDATE", "UPDATE", "UPDATE", "UPDATE"]
    *_, started, ended = rows
    assert started["changed_fields"] == ["status", "started_at"]
    assert (started["old_values"]["status"], started["new_values"]["status"]) == ("scheduled", "running")
    assert ended["changed_fields"] == ["status", "result"]
    assert (ended["old_values"]["status"], ended["new_values"]["status"]) == ("running", "completed")
    assert "stdout" not in json.dumps(ended["new_values"])
    assert {row["entity_ref"] for row in rows} == {"contract.succeed"}


@pytest.mark.parametrize(
    ("action", "ending", "outcome"),
    [("contract.succeed", "execution.completed", "success"), ("contract.fail", "execution.failed", "failure")],
)
def test_the_audit_tells_start_and_end(deployment: Deployment, action: str, ending: str, outcome: str) -> None:
    done = deployment.run(action)
    rows = deployment.all(
        "SELECT event_type, outcome::text, category::text, resource_ref, details FROM audit_event"
        " WHERE resource_type = 'execution' AND resource_id = %s ORDER BY id DESC LIMIT 2",
        [done.id],
    )
    ended, started = rows
    assert (started["event_type"], started["outcome"]) == ("execution.started", "success")
    assert (ended["event_type"], ended["outcome"]) == (ending, outcome)
    assert {row["category"] for row in rows} == {"execution"}
    assert ended["details"]["worker_id"] == done.worker


def test_listeners_of_the_user_interface_hear_start_and_end(deployment: Deployment) -> None:
    with deployment.connect() as listener:
        listener.execute("LISTEN execution_status_changed")
        done = deployment.run("contract.succeed")
        heard = [json.loads(note.payload) for note in _notes(listener, 4)]
    mine = [note for note in heard if note["entity_id"] == done.id]
    assert [note["status"] for note in mine][-2:] == ["running", "completed"]
    assert mine[-1]["old_status"] == "running"


def test_columns_that_belong_to_others_are_left_alone(deployment: Deployment) -> None:
    columns: dict[str, Any] = {
        "retry_count": 2,
        "max_retries": 5,
        "retry_reason": "again",
        "workflow_task": {"task_name": "one"},
        "worker_selector": {"zone": "a"},
        "permission_set_refs": ["standard"],
        "env_vars": {"A": "b"},
    }
    execution_id = deployment.schedule("contract.succeed", {"a": 1}, **columns)
    names = ", ".join((*columns, "config", "executor", "parent", "enforcement", "worker", "created"))
    query = f"SELECT {names} FROM execution WHERE id = %s"
    before = deployment.one(query, [execution_id])
    deployment.dispatch(execution_id)
    deployment.wait(execution_id)
    assert deployment.one(query, [execution_id]) == before


def _seconds(message: Message) -> int:
    return int(datetime.fromisoformat(message.envelope["timestamp"]).timestamp())


def _notes(listener: psycopg.Connection[tuple[Any, ...]], count: int) -> list[psycopg.Notify]:
    return list(listener.notifies(timeout=10, stop_after=count))
