"""The messages that the agent and the operator's command read and write, typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent.errors import MessageError
from agent.mq import topology
from agent.mq.broker import Outgoing
from agent.mq.envelope import (
    Envelope,
    decode,
    format_timestamp,
    parse_timestamp,
    quote,
    stable_id,
    to_json,
    to_json_pieces,
    wrap,
)


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


def decode_pack_event(body: bytes) -> PackRegistered | PackDeleted | RuntimeVerifyRequested | None:
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
    if envelope.message_type != "PackRegistered":
        return None
    names = payload.get("runtime_names")
    if type(names) is not list or not all(type(name) is str for name in names):
        raise MessageError("payload.runtime_names must be a list of strings")
    return PackRegistered(
        _integer(payload, "pack_id"), _text(payload, "pack_ref"), _text(payload, "version"), tuple(names)
    )


def status_changed(
    execution_id: int, action_ref: str, previous_status: str, new_status: str, *, changed_at: datetime
) -> Outgoing:
    """Tell that an execution has another status (lower case); the same values give the same bytes.

    Promise: commit before publish.
    """
    return wrap(
        "ExecutionStatusChanged",
        f'{{"execution_id":{execution_id:d},"action_ref":{quote(action_ref)},"previous_status":"{previous_status}",'
        f'"new_status":"{new_status}","changed_at":"{format_timestamp(changed_at)}"}}',
        exchange=topology.EXECUTIONS,
        routing_key=topology.EXECUTION_STATUS_CHANGED,
        timestamp=changed_at,
        source="worker",
        message_id=stable_id(f"status-changed:{execution_id}:{new_status}"),
    )


def execution_completed(
    execution_id: int,
    action_id: int,
    action_ref: str,
    status: str,
    result: object,
    *,
    completed_at: datetime,
) -> Outgoing:
    """Tell that an execution has ended: ``status`` and ``result`` as the committed row says.

    ``status`` is the row's lower-case name, capitalised on the wire. The same values give the same bytes.

    Raises:
        MessageError: the result isn't JSON.

    Promise: commit before publish.
    """
    return wrap(
        "ExecutionCompleted",
        (
            f'{{"execution_id":{execution_id:d},"action_id":{action_id:d},"action_ref":{quote(action_ref)},'
            f'"status":"{status.capitalize()}","result":',
            *to_json_pieces(result),
            f',"completed_at":"{format_timestamp(completed_at)}"}}',
        ),
        exchange=topology.EXECUTIONS,
        routing_key=topology.EXECUTION_COMPLETED,
        timestamp=completed_at,
        source="worker",
        message_id=stable_id(f"completed:{execution_id}:{status}"),
    )


def execution_requested(
    execution_id: int,
    action_ref: str,
    *,
    at: datetime,
    action_id: int | None = None,
    parent_id: int | None = None,
    enforcement_id: int | None = None,
    config: Mapping[str, Any] | None = None,
    source: str = "worker",
) -> Outgoing:
    """Ask the scheduler to find a worker for an execution: a new one, or one that is handed back.

    Promise: unstarted work is handed back.
    """
    payload = {
        "execution_id": execution_id,
        "action_id": action_id,
        "action_ref": action_ref,
        "parent_id": parent_id,
        "enforcement_id": enforcement_id,
        "config": config,
    }
    return wrap(
        "ExecutionRequested",
        to_json(payload),
        exchange=topology.EXECUTIONS,
        routing_key=topology.EXECUTION_REQUESTED,
        timestamp=at,
        source=source,
    )


def dispatch(message: Dispatch, *, at: datetime, source: str = "executor") -> Outgoing:
    """Send an execution to the worker that was chosen for it, as the executor does."""
    scheduled = message.scheduled_attempt_updated_at
    payload = {
        "execution_id": message.execution_id,
        "worker_id": message.worker_id,
        "action_ref": message.action_ref,
        "config": message.config,
        "scheduled_attempt_updated_at": None if scheduled is None else format_timestamp(scheduled),
    }
    return wrap(
        "ExecutionRequested",
        to_json(payload),
        exchange=topology.EXECUTIONS,
        routing_key=topology.dispatch_key(message.worker_id),
        timestamp=at,
        source=source,
    )


def cancel_request(message: CancelRequest, *, at: datetime, source: str = "api-service") -> Outgoing:
    """Ask the worker that runs an execution to end it."""
    return wrap(
        "ExecutionCancelRequested",
        to_json({"execution_id": message.execution_id, "worker_id": message.worker_id}),
        exchange=topology.EXECUTIONS,
        routing_key=topology.cancel_key(message.worker_id),
        timestamp=at,
        source=source,
    )


def event_created(
    event_id: int, trigger_id: int | None, trigger_ref: str, payload: object, *, at: datetime, source: str
) -> Outgoing:
    """Tell that something happened: a row of ``event`` that no sensor wrote."""
    document = {
        "event_id": event_id,
        "trigger_id": trigger_id,
        "trigger_ref": trigger_ref,
        "sensor_id": None,
        "sensor_ref": None,
        "payload": payload,
        "config": None,
    }
    return wrap(
        "EventCreated",
        to_json(document),
        exchange=topology.EVENTS,
        routing_key=topology.EVENT_CREATED,
        timestamp=at,
        source=source,
        message_id=stable_id(f"event:{event_id}"),
    )


def rule_created(rule: Mapping[str, Any], *, at: datetime) -> Outgoing:
    """Tell sensor services of a new rule, given by the columns of its row."""
    names = ("trigger_ref", "action_ref", "trigger_params", "enabled")
    payload = {
        "rule_id": rule["id"],
        "rule_ref": rule["ref"],
        "trigger_id": rule["trigger"],
        "action_id": rule["action"],
        **{name: rule[name] for name in names},
    }
    return _about_rule("RuleCreated", topology.RULE_CREATED, payload, at)


def rule_switched(rule: Mapping[str, Any], *, on: bool, at: datetime) -> Outgoing:
    """Tell sensor services that a rule is on now, with these parameters of its trigger, or off."""
    payload = {"rule_id": rule["id"], "rule_ref": rule["ref"], "trigger_ref": rule["trigger_ref"]}
    if on:
        payload["trigger_params"] = rule["trigger_params"]
        return _about_rule("RuleEnabled", topology.RULE_ENABLED, payload, at)
    return _about_rule("RuleDisabled", topology.RULE_DISABLED, payload, at)


def _about_rule(kind: str, routing_key: str, payload: Mapping[str, Any], at: datetime) -> Outgoing:
    return wrap(
        kind, to_json(payload), exchange=topology.EVENTS, routing_key=routing_key, timestamp=at, source="api-service"
    )


def pack_registered(
    pack_id: int, pack_ref: str, version: str, runtime_names: Sequence[str], *, at: datetime
) -> Outgoing:
    """Tell every worker that a pack was registered."""
    payload = {
        "pack_id": pack_id,
        "pack_ref": pack_ref,
        "version": version,
        "runtime_names": list(runtime_names),
    }
    return wrap(
        "PackRegistered",
        to_json(payload),
        exchange=topology.EVENTS,
        routing_key=topology.PACK_REGISTERED,
        timestamp=at,
        source=None,
    )


def runtime_verify_requested(runtime_id: int, runtime_ref: str, version: str | None, *, at: datetime) -> Outgoing:
    """Ask every worker to verify the versions of a runtime now; it arrives with the pack events."""
    return wrap(
        "RuntimeVerifyRequested",
        to_json({"runtime_id": runtime_id, "runtime_ref": runtime_ref, "version": version}),
        exchange=topology.EVENTS,
        routing_key=topology.PACK_REGISTERED,
        timestamp=at,
        source="api-service",
    )


def pack_deleted(pack_id: int, pack_ref: str, *, at: datetime) -> Outgoing:
    """Tell every worker that a pack was deleted."""
    return wrap(
        "PackDeleted",
        to_json({"pack_id": pack_id, "pack_ref": pack_ref}),
        exchange=topology.EVENTS,
        routing_key=topology.PACK_DELETED,
        timestamp=at,
        source=None,
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
