"""Workers and runtimes as an operator sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import class_row, dict_row

from agent.db.named_statements import Statements
from agent.db.pool import Database
from agent.db.queries import load_queries
from agent.errors import NotFound
from agent.liveness import DEAD_AFTER
from agent.runtimes.names import normalize_runtime_name


@dataclass(frozen=True)
class Worker:
    """A row of ``worker``; ``heartbeat_age`` in seconds, ``running`` is how many executions it has in hand."""

    id: int
    name: str
    worker_type: str
    worker_role: str
    host: str | None
    port: int | None
    status: str
    cordoned: bool
    cordon_reason: str | None
    last_heartbeat: datetime | None
    heartbeat_age: float | None
    capabilities: Any
    created: datetime
    running: int

    @property
    def alive(self) -> bool:
        """Whether its heartbeat is fresh."""
        return self.heartbeat_age is not None and self.heartbeat_age <= DEAD_AFTER

    @property
    def offers(self) -> Mapping[str, Any]:
        """Its capabilities, empty when the row has none."""
        return self.capabilities if isinstance(self.capabilities, dict) else {}


@dataclass(frozen=True)
class RuntimeEntry:
    """A row of ``runtime`` with its versions, and the names of the live workers that offer it."""

    ref: str
    name: str
    aliases: list[str]
    pack: str | None
    description: str | None
    auto_detected: bool
    versions: list[str]
    workers: list[str]


@dataclass(frozen=True)
class VersionEntry:
    """A row of ``runtime_version``."""

    runtime_ref: str
    version: str
    is_default: bool
    available: bool
    verified_at: datetime | None


def workers(database: Database, name: str | None = None) -> list[Worker]:
    """Return the workers by name; only the one called ``name`` when it is given.

    Raises:
        NotFound: a name was given and no worker has it.
    """
    with database.connection() as connection:
        cursor = connection.cursor(row_factory=class_row(Worker))
        found = cursor.execute(load_queries(__package__ or "")["list_workers"], {"name": name}).fetchall()
    if name is not None and not found:
        raise NotFound(f"there is no worker {name}", hint="see: attune worker list")
    return found


class _Offer(NamedTuple):
    name: str
    runtimes: Any


def runtimes(database: Database) -> list[RuntimeEntry]:
    """Return the runtimes by ref."""
    queries = load_queries(__package__ or "")
    with database.connection() as connection:
        rows = connection.cursor(row_factory=dict_row).execute(queries["list_runtimes"]).fetchall()
        offers = Statements("agent.control").all(connection, _Offer, "offered_runtimes")
    return [
        RuntimeEntry(
            ref=row["ref"],
            name=row["name"],
            aliases=row["aliases"],
            pack=row["pack_ref"],
            description=row["description"],
            auto_detected=row["auto_detected"],
            versions=row["versions"] or [],
            workers=[offer.name for offer in offers if _offers(offer.runtimes, row)],
        )
        for row in rows
    ]


def versions(database: Database, ref: str | None = None) -> list[VersionEntry]:
    """Return the registered versions; only those of runtime ``ref`` when it is given.

    Raises:
        NotFound: a ref was given and no runtime has it.
    """
    queries = load_queries(__package__ or "")
    with database.connection() as connection:
        cursor = connection.cursor(row_factory=class_row(VersionEntry))
        found = cursor.execute(queries["list_runtime_versions"], {"ref": ref}).fetchall()
    if ref is not None and not found and ref not in [entry.ref for entry in runtimes(database)]:
        raise NotFound(f"there is no runtime {ref}", hint="see: attune runtime list")
    return found


def _offers(offered: Any, row: Mapping[str, Any]) -> bool:
    listed = [name.lower() for name in offered if isinstance(name, str)] if isinstance(offered, list) else []
    if not row["aliases"]:  # a runtime without aliases, such as the sensors' builtin, only goes by its own name
        return row["name"].lower() in listed
    names = {normalize_runtime_name(name) for name in (*row["aliases"], row["name"])}
    return any(normalize_runtime_name(name) in names for name in listed)
