"""What a worker reads is understood, and nothing malformed gets through."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import MessageError
from agent.mq import envelope as mq_envelope
from agent.mq import messages
from agent.mq.envelope import MESSAGE_TYPES, decode
from tests.unit.mq.strategies import values

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


def test_every_type_of_the_deployment_is_known() -> None:
    assert len(MESSAGE_TYPES) == 16
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
