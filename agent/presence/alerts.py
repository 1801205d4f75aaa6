"""System alerts: events of the trigger `core.alert`, and the messages that tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from agent.db.named_statements import Statements
from agent.db.pool import Connection
from agent.mq.broker import Outgoing
from agent.mq.outgoing_messages import event_created


@dataclass(frozen=True)
class Alert:
    """What is wrong. ``correlation_id`` is the same for each alert about the same trouble."""

    severity: str
    category: str
    failure_type: str
    component_type: str
    summary: str
    correlation_id: str
    component_id: int | None = None
    component_ref: str | None = None
    worker_role: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def payload(self, at: datetime) -> dict[str, Any]:
        """Return the payload of the event, without what isn't known."""
        document = {
            **self.__dict__,
            "details": dict(self.details),
            "observed_at": at.isoformat().replace("+00:00", "Z"),
        }
        return {key: value for key, value in document.items() if value is not None}


class _Trigger(NamedTuple):
    id: int
    ref: str


class _Event(NamedTuple):
    id: int
    created: datetime


def write_alert(connection: Connection, alert: Alert) -> Outgoing | None:
    """Write the event in the transaction of ``connection``; return the message to send once that is committed.

    None where nobody could listen to it: then nothing is written.

    Raises:
        psycopg.Error: the transaction is over.
    """
    sql = Statements("agent.presence")
    trigger = sql.one(connection, _Trigger, "alert_trigger")
    if trigger is None:
        return None
    payload = alert.payload(datetime.now(UTC))
    event = sql.one(connection, _Event, "insert_alert", {"trigger": trigger.id, "payload": Jsonb(payload)})
    assert event is not None, "INSERT ... RETURNING gives one row"
    return event_created(event.id, trigger.id, trigger.ref, payload, at=event.created, source="system-alert")
