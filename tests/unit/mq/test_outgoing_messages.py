"""What is sent survives the wire, says what the row says, and is the same each time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import MessageError
from agent.mq import messages, outgoing_messages
from agent.mq.envelope import decode, stable_id
from tests.unit.mq.strategies import ids, moments, text, values

NOW = datetime(2026, 4, 1, 9, 15, 2, 118374, UTC)


@given(ids, text, ids, st.none() | st.dictionaries(text, values, max_size=4), st.none() | moments, moments)
def test_a_dispatch_survives_the_wire(
    execution: int,
    action: str,
    worker: int,
    config: dict[str, Any] | None,
    scheduled: datetime | None,
    at: datetime,
) -> None:
    message = messages.Dispatch(execution, action, worker, config, scheduled)
    sent = outgoing_messages.dispatch(message, at=at)
    assert messages.decode_dispatch(sent.body) == message
    envelope = decode(sent.body)
    assert (envelope.message_id, envelope.correlation_id) == (sent.message_id, sent.correlation_id)
    assert envelope.timestamp == at
    assert sent.timestamp == int(at.timestamp())
    assert sent.routing_key == f"execution.dispatch.worker.{worker}"


@given(ids, ids)
def test_a_cancel_request_survives_the_wire(execution: int, worker: int) -> None:
    message = messages.CancelRequest(execution, worker)
    assert messages.decode_cancel_request(outgoing_messages.cancel_request(message, at=NOW).body) == message


@given(ids, text, text, st.lists(text))
def test_pack_events_survive_the_wire(pack: int, ref: str, version: str, runtimes: list[str]) -> None:
    registered = outgoing_messages.pack_registered(pack, ref, version, runtimes, at=NOW)
    assert messages.decode_pack_event(registered.body) == messages.PackRegistered(pack, ref, version, tuple(runtimes))
    assert "source_service" not in decode(registered.body).headers
    deleted = outgoing_messages.pack_deleted(pack, ref, at=NOW)
    assert messages.decode_pack_event(deleted.body) == messages.PackDeleted(pack, ref)


@given(ids, ids, text, values, moments)
def test_a_completion_says_what_the_row_says(
    execution: int, action: int, ref: str, result: object, at: datetime
) -> None:
    sent = outgoing_messages.execution_completed(execution, action, ref, "failed", result, completed_at=at)
    envelope = decode(sent.body)
    assert envelope.message_type == "ExecutionCompleted"
    assert envelope.headers == {"retry_count": 0, "source_service": "worker"}
    assert envelope.payload == {
        "execution_id": execution,
        "action_id": action,
        "action_ref": ref,
        "status": "Failed",
        "result": result,
        "completed_at": json.loads(sent.body)["timestamp"],
    }
    assert (sent.exchange, sent.routing_key) == ("attune.executions", "execution.completed")


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (
            {"succeeded": True, "exit_code": 0, "stdout": "\N{REPLACEMENT CHARACTER}" * 6_000_000},
            {"succeeded": True, "exit_code": 0, "left_out": ["stdout"]},
        ),
        (
            {"data": ["d" * 16_000_000], "stderr": "e" * 20_000, "stderr_log": "some/path", "queue_ack": {"a": 1}},
            {"stderr_log": "some/path", "queue_ack": {"a": 1}, "left_out": ["data", "stderr"]},
        ),
        (["x" * 16_000_000], {"left_out": []}),
    ],
    ids=["text", "data", "list"],
)
def test_what_no_broker_would_take_is_left_out_of_a_completion_and_named(
    result: object, told: dict[str, object]
) -> None:
    sent = outgoing_messages.execution_completed(1, 2, "a.b", "completed", result, completed_at=NOW)
    assert decode(sent.body).payload["result"] == told
    assert sent == outgoing_messages.execution_completed(1, 2, "a.b", "completed", result, completed_at=NOW)


def test_a_configuration_that_no_broker_would_take_is_left_out_of_a_dispatch_and_of_what_is_handed_back() -> None:
    for value in ("x" * 16_000_000, "\N{SNOWMAN}" * 5_500_000):
        for sent in (
            outgoing_messages.dispatch(messages.Dispatch(1, "a.b", 7, {"text": value}, None), at=NOW),
            outgoing_messages.execution_requested(1, "a.b", at=NOW, config={"text": value}),
        ):
            assert decode(sent.body).payload["config"] is None
    for value in ("x" * 15_000_000, "\N{SNOWMAN}" * 5_000_000):
        sent = outgoing_messages.dispatch(messages.Dispatch(1, "a.b", 7, {"text": value}, None), at=NOW)
        assert decode(sent.body).payload["config"] == {"text": value}


@given(ids, text, st.sampled_from(["running", "completed", "failed", "abandoned"]))
def test_a_status_change_carries_lower_case_names(execution: int, ref: str, status: str) -> None:
    sent = outgoing_messages.status_changed(execution, ref, "scheduled", status, changed_at=NOW)
    assert decode(sent.body).payload == {
        "execution_id": execution,
        "action_ref": ref,
        "previous_status": "scheduled",
        "new_status": status,
        "changed_at": "2026-04-01T09:15:02.118374Z",
    }
    assert (sent.exchange, sent.routing_key) == ("attune.executions", "execution.status.changed")


def test_a_repeat_is_identical_even_when_the_database_reordered_the_result() -> None:
    def completion(result: object, at: datetime) -> Any:
        return outgoing_messages.execution_completed(1, 2, "a.b", "completed", result, completed_at=at)

    elsewhere = NOW.astimezone(timezone(timedelta(hours=2)))
    assert completion({"b": 1, "a": {"y": 1, "x": 2}}, NOW) == completion({"a": {"x": 2, "y": 1}, "b": 1}, elsewhere)


def test_ids_differ_by_execution_status_and_kind_and_never_change_between_versions() -> None:
    sent = [
        outgoing_messages.status_changed(1, "a", "running", "failed", changed_at=NOW),
        outgoing_messages.status_changed(1, "a", "running", "completed", changed_at=NOW),
        outgoing_messages.status_changed(2, "a", "running", "failed", changed_at=NOW),
        outgoing_messages.execution_completed(1, 9, "a", "failed", None, completed_at=NOW),
    ]
    assert len({message.message_id for message in sent}) == 4
    assert all(message.correlation_id == message.message_id for message in sent)
    assert stable_id("completed:1:failed") == "491ce01c-dc85-560d-89ec-291eeb643e17"


@given(text)
def test_a_stable_id_is_a_version_5_uuid(name: str) -> None:
    value = UUID(stable_id(name))
    assert (value.version, value.variant) == (5, "specified in RFC 4122")
    assert str(value) == stable_id(name)


def test_a_handed_back_execution_is_requested_again_with_every_key() -> None:
    sent = outgoing_messages.execution_requested(5, "a.b", at=NOW, action_id=3)
    assert decode(sent.body).payload == {
        "execution_id": 5,
        "action_id": 3,
        "action_ref": "a.b",
        "parent_id": None,
        "enforcement_id": None,
        "config": None,
    }
    assert (sent.exchange, sent.routing_key) == ("attune.executions", "execution.requested")


def test_a_lone_surrogate_does_not_stop_a_message() -> None:
    sent = outgoing_messages.execution_completed(1, 2, "a", "failed", {"stdout": "\ud800"}, completed_at=NOW)
    assert decode(sent.body).payload["result"] == {"stdout": "?"}


@pytest.mark.parametrize("result", [float("nan"), {1, 2}, {"a": object()}])
def test_a_result_that_is_not_json_is_refused(result: object) -> None:
    with pytest.raises(MessageError):
        outgoing_messages.execution_completed(1, 2, "a", "failed", result, completed_at=NOW)
