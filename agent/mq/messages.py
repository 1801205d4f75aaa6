"""The messages that a worker reads, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent.errors import MessageError
from agent.mq.envelope import Envelope, decode, parse_timestamp


@dataclass(frozen=True, slots=True)
class Dispatch:
    """The executor asks this worker to run an execution; ``traceparent`` is the header of that name, unchecked."""

    execution_id: int
    action_ref: str
    worker_id: int
    config: Mapping[str, Any] | None
    scheduled_attempt_updated_at: datetime | None
    traceparent: object = None


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Somebody asks this worker to end an execution."""

    execution_id: int
    worker_id: int


@dataclass(frozen=True, slots=True)
class PackRegistered:
    """A pack was registered or updated; ``runtime_names`` are lower-case names of the runtimes it needs."""

    pack_id: int
    pack_ref: str
    version: str
    runtime_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackDeleted:
    """A pack was deleted."""

    pack_id: int
    pack_ref: str


@dataclass(frozen=True, slots=True)
class RuntimeVerifyRequested:
    """Somebody asks which versions of a runtime this worker has now; None: of all."""

    runtime_ref: str | None


@dataclass(frozen=True, slots=True)
class EnvironmentRebuildRequested:
    """Somebody asks for new environments of a pack in place of those that were built before ``asked_at``."""

    pack_ref: str
    asked_at: datetime


PackEvent = PackRegistered | PackDeleted | RuntimeVerifyRequested | EnvironmentRebuildRequested


def decode_dispatch(body: bytes) -> Dispatch:
    """Decode what arrives in a worker's queue of executions.

    Only the ids and the action are demanded; the other two are None where they are missing or unreadable.

    Raises:
        MessageError: malformed, or another type of message.
    """
    envelope = _expect(decode(body), "ExecutionRequested")
    payload = envelope.payload
    config = payload.get("config")
    return Dispatch(
        _integer(payload, "execution_id"),
        _text(payload, "action_ref"),
        _integer(payload, "worker_id"),
        config if type(config) is dict else None,
        _moment(payload.get("scheduled_attempt_updated_at")),
        envelope.headers.get("traceparent"),
    )


def decode_cancel_request(body: bytes) -> CancelRequest:
    """Decode what arrives in a worker's queue of cancellations.

    Raises:
        MessageError: malformed, or another type of message.
    """
    payload = _expect(decode(body), "ExecutionCancelRequested").payload
    return CancelRequest(_integer(payload, "execution_id"), _integer(payload, "worker_id"))


def decode_pack_event(body: bytes) -> PackEvent | None:
    """Decode what arrives in a worker's queue of pack events; None for a type that isn't about packs.

    Raises:
        MessageError: malformed.
    """
    envelope = decode(body)
    payload = envelope.payload
    if envelope.message_type == "PackDeleted":
        return PackDeleted(_integer(payload, "pack_id"), _text(payload, "pack_ref"))
    if envelope.message_type == "RuntimeVerifyRequested":
        ref = payload.get("runtime_ref")
        return RuntimeVerifyRequested(ref if type(ref) is str else None)
    if envelope.message_type == "EnvironmentRebuildRequested":
        return EnvironmentRebuildRequested(_text(payload, "pack_ref"), envelope.timestamp)
    if envelope.message_type != "PackRegistered":
        return None
    names = payload.get("runtime_names")
    if type(names) is not list or not all(type(name) is str for name in names):
        raise MessageError("payload.runtime_names must be a list of strings")
    return PackRegistered(
        _integer(payload, "pack_id"), _text(payload, "pack_ref"), _text(payload, "version"), tuple(names)
    )


def _expect(envelope: Envelope, message_type: str) -> Envelope:
    if envelope.message_type != message_type:
        raise MessageError(f"expected {message_type}, not {envelope.message_type}")
    return envelope


def _integer(payload: Mapping[str, Any], key: str) -> int:
    value = payload.get(key)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise MessageError(f"payload.{key} must be a 64-bit integer")
    return value


def _text(payload: Mapping[str, Any], key: str) -> str:
    value = payload.get(key)
    if type(value) is not str:
        raise MessageError(f"payload.{key} must be a string")
    return value


def _moment(value: Any) -> datetime | None:
    try:
        return parse_timestamp(value, "scheduled_attempt_updated_at")
    except MessageError:
        return None
