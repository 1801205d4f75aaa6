"""Reads what is registered: packs for a listing, runtimes for those who look one up by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from agent.db.pool import Connection, Database
from agent.db.queries import load_queries


@dataclass(frozen=True)
class RegisteredRuntime:
    """A row of ``runtime``, as much of it as finding one needs."""

    id: int
    ref: str
    name: str
    aliases: tuple[str, ...] = ()
    execution_config: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make a value of the list that the driver returns."""
        object.__setattr__(self, "aliases", tuple(self.aliases))


@dataclass(frozen=True)
class PackSummary:
    """A registered pack with the number of its parts."""

    ref: str
    label: str
    version: str
    description: str | None
    updated: datetime
    actions: int
    sensors: int
    triggers: int
    runtimes: int


def registered_runtimes(database: Database) -> tuple[RegisteredRuntime, ...]:
    """Return all runtimes, in order of their refs."""
    with database.connection() as connection:
        return runtimes_of(connection)


def runtimes_of(connection: Connection) -> tuple[RegisteredRuntime, ...]:
    """Return all runtimes as the transaction of ``connection`` sees them."""
    with connection.cursor(row_factory=class_row(RegisteredRuntime)) as cursor:
        return tuple(cursor.execute(load_queries("agent.packs")["runtimes"]).fetchall())


def registered_packs(database: Database) -> tuple[PackSummary, ...]:
    """Return all packs, in order of their refs."""
    with database.connection() as connection, connection.cursor(row_factory=class_row(PackSummary)) as cursor:
        return tuple(cursor.execute(load_queries("agent.packs")["list_packs"]).fetchall())
