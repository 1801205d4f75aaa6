"""The messages that programs of ours send, and where each goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from agent.mq import topology
from agent.mq.broker import Outgoing
from agent.mq.envelope import format_timestamp, quote, stable_id, to_bytes, to_json, to_json_pieces, wrap
from agent.mq.messages import CancelRequest, Dispatch

#: The largest message that is sent, in bytes: RabbitMQ takes 16 MiB (from 4.0 on, as it comes), and closes the channel
#: of who sends more, which would send it again for ever. What is left out stands in the row, which all readers go by.
LARGEST = 15 * 1024 * 1024
#: A value of a result that has fewer bytes of JSON is never left out of a completion.
_SMALL_VALUE = 16 * 1024


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

    ``status`` is the row's lower-case name, capitalised on the wire. The same values give the same bytes. Where a
    broker would refuse it for its size, the large values of the result are left out, and named: the row has them.

    Raises:
        MessageError: the result isn't JSON.

    Promise: commit before publish.
    """

    def told(shown: object) -> Outgoing:
        return _completion(execution_id, action_id, action_ref, status, shown, completed_at)

    whole = told(result)
    return whole if len(whole.body) <= LARGEST else told(_without_large_values(result))


def _without_large_values(result: object) -> Mapping[str, Any]:
    values = result if isinstance(result, Mapping) else {}
    sizes = {key: sum(map(len, to_json_pieces(value))) for key, value in values.items()}
    small = {key: value for key, value in values.items() if sizes[key] < _SMALL_VALUE}
    return small | {"left_out": sorted(sizes.keys() - small.keys())}


def _completion(
    execution_id: int, action_id: int, action_ref: str, status: str, result: object, completed_at: datetime
) -> Outgoing:
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

    A configuration that no broker would take is left out.

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
    return _requested(payload, topology.EXECUTION_REQUESTED, at, source)


def dispatch(message: Dispatch, *, at: datetime, source: str = "executor") -> Outgoing:
    """Send an execution to the worker that was chosen for it, as the executor does.

    A configuration that no broker would take is left out.
    """
    scheduled = message.scheduled_attempt_updated_at
    payload = {
        "execution_id": message.execution_id,
        "worker_id": message.worker_id,
        "action_ref": message.action_ref,
        "config": message.config,
        "scheduled_attempt_updated_at": None if scheduled is None else format_timestamp(scheduled),
    }
    return _requested(payload, topology.dispatch_key(message.worker_id), at, source)


def _requested(payload: Mapping[str, Any], routing_key: str, at: datetime, source: str) -> Outgoing:
    text = to_json(payload)
    if len(text) > LARGEST // 4:  # a character has up to four bytes
        text = to_json(payload if len(to_bytes(text)) <= LARGEST else {**payload, "config": None})
    return wrap(
        "ExecutionRequested",
        text,
        exchange=topology.EXECUTIONS,
        routing_key=routing_key,
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


def environment_rebuild_requested(pack_id: int, pack_ref: str, *, at: datetime) -> Outgoing:
    """Ask every worker to build the environments of a pack anew; it arrives with the pack events."""
    return wrap(
        "EnvironmentRebuildRequested",
        to_json({"pack_id": pack_id, "pack_ref": pack_ref}),
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
