"""Events: sent by sensors, actions and people; and why each started what it started."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from agent.db.pool import Connection
from agent.execution.secrets.redaction import redact_result
from agent.mq.outgoing_messages import event_created
from agent.rules.event_explanation import explain_event
from agent.rules.event_explanation import shown as explained
from agent.rules.new_event import NewEvent as Sent
from agent.rules.new_event import write_event
from agent.server.call import Answer, Call, data, one, page, rows
from agent.server.idempotency import idempotency_key
from agent.server.problems import Problem
from agent.server.route import Route
from agent.server.shapes import Id, PerPage, Ref, Text, matching

_PACKAGE = "agent.rules"
_SENDING = frozenset(("access", "execution", "sensor"))
_INSTANCE = re.compile(r"rule_([0-9]{1,18})")


class EventsQuery(PerPage, kw_only=True):
    """Which events; a ``*`` in ``trigger_ref`` stands for anything."""

    trigger: Id | None = None
    trigger_ref: Text | None = None
    rule_ref: Text | None = None
    source: Id | None = None
    include_total: bool = False


class NewEvent(Struct):
    """An event. ``trigger_instance_id`` is ``rule_`` and an id: it is for that rule alone."""

    trigger_ref: Ref | None = None
    trigger_type: Ref | None = None
    payload: Any = None
    config: Any = None
    trigger_instance_id: Text | None = None


def create(call: Call) -> Answer:
    """Accept an event. A sensor's token sends for its own triggers only.

    With an Idempotency-Key the same sender's event of that key is accepted once: for a day, its second and further
    requests are answered with the event of the first one, whatever else they say.
    """
    body: NewEvent = call.body
    ref = body.trigger_ref or body.trigger_type
    if ref is None:
        raise Problem.invalid("body: trigger_ref is missing")
    sensor = call.caller.kind == "sensor"
    if sensor and ref not in call.caller.trigger_types:
        raise Problem(403, "FORBIDDEN", f"this token is not for the trigger {ref}")
    if not sensor:
        call.caller.require("events", "create", {"ref": ref, "pack_ref": ref.partition(".")[0]})
    key = idempotency_key(call)
    with call.connection() as connection:
        if key is None:
            event, made = _write(call, connection, body, ref), True
        else:
            event, made = _once(call, connection, body, ref, key)
        missing = f"the event {event} of this Idempotency-Key was deleted"
        found = _shown(one(connection, _PACKAGE, "event", {"id": event}, missing=missing))
    if made and call.services.rules is not None:
        call.services.rules.wake()
    status, message = (201, "Event created successfully") if made else (200, "Event was created before")
    return data(found, message=message, status=status, Location=f"/api/v1/events/{event}")


def _once(call: Call, connection: Connection, body: NewEvent, ref: str, key: str) -> tuple[int, bool]:
    """Write the event of a key, or find it; whoever sends the same at the same time waits here for the first one."""
    claim = {"identity": call.caller.identity_id, "key": key}
    if not rows(connection, _PACKAGE, "claim_event_key", claim):
        missing = "this Idempotency-Key was forgotten meanwhile"
        return int(one(connection, _PACKAGE, "event_of_key", claim, missing=missing)["event"]), False
    made = _write(call, connection, body, ref)
    rows(connection, _PACKAGE, "name_event_key", claim | {"event": made})
    return made, True


def _write(call: Call, connection: Connection, body: NewEvent, ref: str) -> int:
    rule = _rule(connection, body.trigger_instance_id, ref)
    login = call.caller.claims.login if call.caller.claims else ""
    sent = Sent(
        ref,
        body.payload,
        login[:255],
        config=body.config,
        sensor_ref=login if call.caller.kind == "sensor" else None,
        rule=(rule["id"], rule["ref"]) if rule else None,
    )
    made = write_event(connection, sent)
    if not call.services.outbox.in_database:
        message = event_created(made.id, made.trigger, ref, body.payload, at=made.created, source="api-service")
        call.services.outbox.add(connection, [message])
    return made.id


def list_all(call: Call) -> Answer:
    """List events, newest first."""
    query: EventsQuery = call.query
    values = {name: getattr(query, name) for name in ("trigger", "rule_ref", "source")}
    values |= {"trigger_ref": matching(query.trigger_ref)} | query.window()
    with call.connection() as connection:
        found = rows(connection, _PACKAGE, "list_events", values)
        total = one(connection, _PACKAGE, "count_events", values)["total"] if query.include_total else None
    more = len(found) > query.size
    return page(found[: query.size], number=query.page, size=query.per_page, total=total, more=more)


def show(call: Call) -> Answer:
    """Show an event, and what became of it. What the trigger declares secret is not shown."""
    with call.connection() as connection:
        missing = f"there is no event {call.path['id']}"
        return data(_shown(one(connection, _PACKAGE, "event", {"id": call.path["id"]}, missing=missing)))


def explain(call: Call) -> Answer:
    """Say why an event started what it started, rule by rule."""
    with call.connection() as connection:
        return data(explained(explain_event(connection, call.path["id"])))


def _rule(connection: Any, instance: str | None, trigger_ref: str) -> dict[str, Any] | None:
    """Find the rule that an event is for. One that is gone gets nothing: least of all do all others get its event."""
    if instance is None:
        return None
    named = _INSTANCE.fullmatch(instance)
    if named is None:
        raise Problem.invalid("body: trigger_instance_id is rule_ and the id of a rule")
    found = rows(connection, _PACKAGE, "rule_of_id", {"id": int(named[1])})
    if not found or found[0]["trigger_ref"] != trigger_ref:
        raise Problem(
            404, "NOT_FOUND", f"there is no rule {named[1]} of the trigger {trigger_ref}: it was deleted or changed"
        )
    return found[0]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    out_schema = row.pop("out_schema")
    row["payload"], _ = redact_result(row["payload"], out_schema)
    outcome = {name: row.pop(name) for name in ("processed", "rules", "matched", "failed", "note")}
    return row | {"outcome": outcome if row.pop("known") else None}


_READ = ("events", "read")
ROUTES = (
    Route(
        "POST",
        "/api/v1/events",
        create,
        "Send an event",
        _SENDING,
        body=NewEvent,
        answer=dict,
        status=201,
        errors=(200, 404),
        tag="events",
    ),
    Route(
        "GET",
        "/api/v1/events",
        list_all,
        "List events",
        needs=_READ,
        query=EventsQuery,
        listed=True,
        answer=dict,
        tag="events",
    ),
    Route("GET", "/api/v1/events/{id}", show, "Show an event", needs=_READ, answer=dict, errors=(404,), tag="events"),
    Route(
        "GET",
        "/api/v1/events/{id}/explain",
        explain,
        "Why an event started what it started",
        needs=_READ,
        answer=dict,
        errors=(404,),
        tag="events",
    ),
)
