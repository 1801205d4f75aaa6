"""Write an event: the row is all that is needed, whoever processes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from agent.db.named_statements import Statements
from agent.db.pool import Connection
from agent.errors import NotFound


@dataclass(frozen=True)
class NewEvent:
    """An event to be written. With ``rule``, id and ref, it is for that rule alone; ``sensor_ref``: who sent it."""

    trigger_ref: str
    payload: Any
    source_ref: str
    config: Any = None
    sensor_ref: str | None = None
    rule: tuple[int, str] | None = None


class Written(NamedTuple):
    """The row."""

    id: int
    trigger: int
    created: datetime


def write_event(connection: Connection, event: NewEvent) -> Written:
    """Write the row. Raises NotFound when there is no such trigger."""
    values = {
        "trigger_ref": event.trigger_ref,
        "config": None if event.config is None else Jsonb(event.config),
        "payload": None if event.payload is None else Jsonb(event.payload),
        "sensor_ref": event.sensor_ref,
        "source_ref": event.source_ref,
        "rule": event.rule[0] if event.rule else None,
        "rule_ref": event.rule[1] if event.rule else None,
    }
    made = Statements("agent.rules").one(connection, Written, "insert_event", values)
    if made is None:
        raise NotFound(f"there is no trigger {event.trigger_ref}", hint="see: attune trigger list")
    return made
