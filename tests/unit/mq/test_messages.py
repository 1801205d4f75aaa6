"""Messages survive the wire, and nothing malformed gets through."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import MessageError
from agent.mq import envelope as mq_envelope
from agent.mq import messages
from agent.mq.envelope import MESSAGE_TYPES, decode, stable_id

NOW = datetime(2026, 4, 1, 9, 15, 2, 118374, UTC)
DISPATCH = {
    "message_id": "5b0f8c1e-6a7d-4d2b-9a53-0a1e6f0f2c11",
    "correlation_id": "5b0f8c1e-6a7d-4d2b-9a53-0a1e6f0f2c11",
    "message_type": "ExecutionRequested",
    "version": "1.0",
    "timestamp": "2026-04-01T09:15:02.118374Z",
    "headers": {"retry_count": 0, "source_service": "executor"},
    "payload": {
        "execution_id": 901,
        "worker_id": 7,
        "action_ref": "ops.rotate",
        "config": {"host": "db1", "keep": 3},
        "scheduled_attempt_updated_at": "2026-04-01T09:15:02.114201Z",
    },
}
ids = st.integers(-(2**63), 2**63 - 1)
text = st.text(st.characters(exclude_categories=["Cs"]))
moments = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=8,
)


def body(changes: dict[str, Any] | None = None, *, without: str | None = None) -> bytes:
    data = DISPATCH | (changes or {})
    data.pop(without or "", None)
    return json.dumps(data).encode()


def test_a_dispatch_of_the_executor_is_understood() -> None:
    assert messages.decode_dispatch(body()) == messages.Dispatch(
        901, "ops.rotate", 7, {"host": "db1", "keep": 3}, datetime(2026, 4, 1, 9, 15, 2, 114201, UTC)
    )


@pytest.mark.parametrize("key", ["message_type", "timestamp", "payload"])
def test_a_message_without_a_required_key_is_refused(key: str) -> None:
    with pytest.raises(MessageError):
        decode(body(without=key))


@pytest.mark.parametrize("key", ["message_id", "correlation_id"])
def test_a_missing_id_is_replaced_by_a_random_one(key: str) -> None:
    first, second = (getattr(decode(each), key) for each in (body(without=key), body({key: None})))
    assert UUID(first).version == UUID(second).version == 4
    assert first != second


def test_version_and_headers_have_defaults() -> None:
    assert decode(body(without="version")).version == "1.0"
    assert decode(body(without="headers")).headers == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"message_type": "executionRequested"},
        {"message_type": None},
        {"message_type": ["ExecutionRequested"]},
        {"message_id": "12"},
        {"message_id": 12},
        {"correlation_id": {}},
        {"version": None},
        {"version": 1.0},
        {"timestamp": None},
        {"timestamp": 1700000000},
        {"timestamp": "2026-04-01"},
        {"timestamp": "2026-04-01T09:15:02"},
        {"timestamp": "2026-13-01T09:15:02Z"},
        {"timestamp": "2026-W14-3T09:15:02Z"},
        {"headers": None},
        {"headers": []},
        {"headers": {"retry_count": -1}},
        {"headers": {"retry_count": "0"}},
        {"headers": {"retry_count": True}},
        {"headers": {"source_service": 1}},
        {"headers": {"trace_id": "x"}},
        {"payload": None},
        {"payload": []},
    ],
    ids=str,
)
def test_a_malformed_envelope_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        decode(body(changes))


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"execution_id": "901", "action_ref": "a.b", "worker_id": 7},
        {"execution_id": 901.0, "action_ref": "a.b", "worker_id": 7},
        {"execution_id": True, "action_ref": "a.b", "worker_id": 7},
        {"execution_id": 2**63, "action_ref": "a.b", "worker_id": 7},
        {"execution_id": 901, "worker_id": 7},
        {"execution_id": 901, "action_ref": None, "worker_id": 7},
        {"execution_id": 901, "action_ref": "a.b"},
    ],
    ids=str,
)
def test_a_dispatch_with_an_unusable_payload_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        messages.decode_dispatch(body({"payload": payload}))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b"[" * 200_000,
        b'{"payload": NaN}',
        b'{"payload": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_what_is_not_a_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(MessageError):
        decode(raw)


@given(st.binary() | st.text().map(str.encode) | values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_either_decoded_or_refused(raw: bytes) -> None:
    for read in (messages.decode_dispatch, messages.decode_cancel_request, messages.decode_pack_event):
        with pytest.raises(MessageError):
            read(raw)


@given(st.sampled_from(sorted(DISPATCH)), values)
def test_any_value_of_any_key_is_either_decoded_or_refused(key: str, value: object) -> None:
    with contextlib.suppress(MessageError):
        messages.decode_dispatch(json.dumps(DISPATCH | {key: value}).encode())


def test_optional_parts_of_a_dispatch_that_are_unreadable_are_left_out() -> None:
    payload = {
        "execution_id": 1,
        "action_ref": "a",
        "worker_id": 2,
        "config": [1],
        "scheduled_attempt_updated_at": "soon",
        "unknown": 1,
    }
    assert messages.decode_dispatch(body({"payload": payload, "unknown": 1})) == messages.Dispatch(
        1, "a", 2, None, None
    )


def test_a_message_of_another_type_is_not_taken_for_a_dispatch() -> None:
    with pytest.raises(MessageError, match="EventCreated"):
        messages.decode_dispatch(body({"message_type": "EventCreated"}))


def test_a_type_that_is_not_about_packs_is_left_alone() -> None:
    assert messages.decode_pack_event(body({"message_type": "RuleCreated"})) is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-04-01T09:15:02Z", datetime(2026, 4, 1, 9, 15, 2, tzinfo=UTC)),
        ("2026-04-01t09:15:02.5z", datetime(2026, 4, 1, 9, 15, 2, 500_000, UTC)),
        ("2026-04-01T11:15:02.123456789+02:00", datetime(2026, 4, 1, 9, 15, 2, 123456, UTC)),
    ],
)
def test_times_are_read_as_rfc_3339(written: str, meant: datetime) -> None:
    assert decode(body({"timestamp": written})).timestamp == meant


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
    sent = messages.dispatch(message, at=at)
    assert messages.decode_dispatch(sent.body) == message
    envelope = decode(sent.body)
    assert (envelope.message_id, envelope.correlation_id) == (sent.message_id, sent.correlation_id)
    assert envelope.timestamp == at
    assert sent.timestamp == int(at.timestamp())
    assert sent.routing_key == f"execution.dispatch.worker.{worker}"


@given(ids, ids)
def test_a_cancel_request_survives_the_wire(execution: int, worker: int) -> None:
    message = messages.CancelRequest(execution, worker)
    assert messages.decode_cancel_request(messages.cancel_request(message, at=NOW).body) == message


@given(ids, text, text, st.lists(text))
def test_pack_events_survive_the_wire(pack: int, ref: str, version: str, runtimes: list[str]) -> None:
    registered = messages.pack_registered(pack, ref, version, runtimes, at=NOW)
    assert messages.decode_pack_event(registered.body) == messages.PackRegistered(pack, ref, version, tuple(runtimes))
    assert "source_service" not in decode(registered.body).headers
    deleted = messages.pack_deleted(pack, ref, at=NOW)
    assert messages.decode_pack_event(deleted.body) == messages.PackDeleted(pack, ref)


@given(ids, ids, text, values, moments)
def test_a_completion_says_what_the_row_says(
    execution: int, action: int, ref: str, result: object, at: datetime
) -> None:
    sent = messages.execution_completed(execution, action, ref, "failed", result, completed_at=at)
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


@given(ids, text, st.sampled_from(["running", "completed", "failed", "abandoned"]))
def test_a_status_change_carries_lower_case_names(execution: int, ref: str, status: str) -> None:
    sent = messages.status_changed(execution, ref, "scheduled", status, changed_at=NOW)
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
        return messages.execution_completed(1, 2, "a.b", "completed", result, completed_at=at)

    elsewhere = NOW.astimezone(timezone(timedelta(hours=2)))
    assert completion({"b": 1, "a": {"y": 1, "x": 2}}, NOW) == completion({"a": {"x": 2, "y": 1}, "b": 1}, elsewhere)


def test_ids_differ_by_execution_status_and_kind_and_never_change_between_versions() -> None:
    sent = [
        messages.status_changed(1, "a", "running", "failed", changed_at=NOW),
        messages.status_changed(1, "a", "running", "completed", changed_at=NOW),
        messages.status_changed(2, "a", "running", "failed", changed_at=NOW),
        messages.execution_completed(1, 9, "a", "failed", None, completed_at=NOW),
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
    sent = messages.execution_requested(5, "a.b", at=NOW, action_id=3)
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
    sent = messages.execution_completed(1, 2, "a", "failed", {"stdout": "\ud800"}, completed_at=NOW)
    assert decode(sent.body).payload["result"] == {"stdout": "?"}


@pytest.mark.parametrize("result", [float("nan"), {1, 2}, {"a": object()}])
def test_a_result_that_is_not_json_is_refused(result: object) -> None:
    with pytest.raises(MessageError):
        messages.execution_completed(1, 2, "a", "failed", result, completed_at=NOW)


def test_every_type_of_the_deployment_is_known() -> None:
    assert len(MESSAGE_TYPES) == 15
    for name in MESSAGE_TYPES:
        assert decode(body({"message_type": name})).message_type == name


@pytest.mark.parametrize(
    "body",
    [
        b'{"message_type": "://' + b"a" * 90_000 + b'"}',
        b'{"message_type": ' + b"9" * 90_000 + b"}",
        b"[" + b"{}," * 13_000_000 + b"{}]",
        b"{" + b'"a":{' * 50_000,
        b"\xff" * 90_000,
    ],
    ids=lambda body: body[:20].decode("ascii", "replace"),
)
def test_a_hostile_message_is_refused_in_few_words(body: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        messages.decode_dispatch(body)
    assert len(str(caught.value)) < 200


def test_a_message_over_the_size_limit_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mq_envelope, "read_json", lambda body: pytest.fail("it was parsed"))
    with pytest.raises(MessageError, match="more than 33554432"):
        decode(b" " * (mq_envelope.MOST_BYTES + 1))
