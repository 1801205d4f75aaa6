"""System alerts: an event of the trigger `core.alert`, and the message that tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from agent.control.outbox import Outbox
from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.mq.messages import event_created


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


def raise_alert(connection: Connection, outbox: Outbox, alert: Alert) -> bool:
    """Write the event in the transaction of ``connection``; False when nobody could listen to it.

    Raises:
        psycopg.Error: the transaction is over.
    """
    sql = load_queries("agent.dispatch")
    trigger = connection.execute(sql["alert_trigger"].encode()).fetchone()
    if trigger is None:
        return False
    payload = alert.payload(datetime.now(UTC))
    values = {"trigger": trigger[0], "payload": Jsonb(payload)}
    row = connection.execute(sql["insert_alert"].encode(), values).fetchone()
    assert row is not None, "INSERT ... RETURNING gives one row"
    message = event_created(row[0], trigger[0], trigger[1], payload, at=row[1], source="system-alert")
    outbox.add(connection, [message])
    return True
