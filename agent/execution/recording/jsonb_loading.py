"""Read jsonb of the database without letting one row that Python can't read end the thread that reads many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.types.json import set_json_loads

from agent.db.pool import Connection
from agent.reading.json_text import read_json


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a value that PostgreSQL stores and Python refuses: a huge number, or nesting without end."""

    reason: str


def tolerate_unreadable(connection: Connection) -> None:
    """Let ``connection`` return ``Unreadable`` where it would raise."""
    set_json_loads(_loads, connection)


def _loads(data: str | bytes) -> Any:
    try:
        return read_json(data if isinstance(data, str) else bytes(data))
    except ValueError as error:
        return Unreadable(str(error))
