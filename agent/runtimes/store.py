"""Rows of runtimes and their versions: read them, add detected ones, note which versions are available."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from agent.db.pool import Database
from agent.db.queries import load_queries
from agent.runtimes.advertised import advertised_versions
from agent.runtimes.execution_config import ExecutionConfig
from agent.runtimes.model import Runtime, RuntimeVersion
from agent.runtimes.names import normalize_runtime_name
from agent.runtimes.verification import VersionCheck
from agent.versions import components, matches_row


@dataclass(frozen=True)
class StoredRuntimes:
    """All rows in the order of their refs.

    ``raw`` holds each runtime's columns as stored, by ref. ``problems`` says, by the runtime's id, why its
    configuration can't be used; a version row that can't be used is left out, and ``warnings`` names it.
    """

    runtimes: tuple[Runtime, ...] = ()
    versions: tuple[RuntimeVersion, ...] = ()
    raw: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: Mapping[int, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewRuntime:
    """The values of a row that an agent adds; ``pack`` stays null, so that no reload of a pack deletes it."""

    ref: str
    name: str
    description: str
    aliases: tuple[str, ...]
    distributions: Mapping[str, Any]
    execution_config: Mapping[str, Any]
    detection_config: Mapping[str, Any]
    installation: Mapping[str, Any] | None = None


def load_runtimes(database: Database) -> StoredRuntimes:
    """Read all runtimes and versions.

    Raises:
        DatabaseError: they can't be read.
    """
    queries = load_queries("agent.runtimes")
    with database.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        runtimes = cursor.execute(queries["runtimes"]).fetchall()
        versions = cursor.execute(queries["runtime_versions"]).fetchall()
    return from_rows(runtimes, versions)


def from_rows(runtimes: Sequence[DictRow], versions: Sequence[DictRow]) -> StoredRuntimes:
    """Make values of rows; one with an unusable configuration doesn't spoil the others (pure)."""
    problems: dict[int, str] = {}
    usable = []
    for row in runtimes:
        try:
            config = ExecutionConfig.from_json(row["execution_config"])
        except ValueError as error:
            problems[row["id"]] = f"execution_config of runtime {row['ref']}: {error}"
            config = ExecutionConfig()
        usable.append(_runtime(row, config))
    usable_versions, warnings = [], []
    for row in versions:
        try:
            usable_versions.append(_version(row))
        except ValueError as error:
            warnings.append(f"execution_config of {row['runtime_ref']} {row['version']}: {error}")
    raw = {row["ref"]: row for row in runtimes}
    return StoredRuntimes(tuple(usable), tuple(usable_versions), raw, problems, tuple(warnings))


def insert_runtime(database: Database, runtime: NewRuntime) -> bool:
    """Add the row; False when another agent was faster.

    Raises:
        DatabaseError: the database refused it.
    """
    parameters = {
        "ref": runtime.ref,
        "name": runtime.name,
        "description": runtime.description,
        "aliases": list(runtime.aliases),
        "distributions": Jsonb(runtime.distributions),
        "installation": None if runtime.installation is None else Jsonb(runtime.installation),
        "execution_config": Jsonb(runtime.execution_config),
        "detection_config": Jsonb(runtime.detection_config),
    }
    with database.connection() as connection:
        query = load_queries("agent.runtimes")["insert_runtime"]
        return connection.execute(query, parameters).fetchone() is not None


def insert_version(database: Database, row: Mapping[str, Any]) -> bool:
    """Add a version row; False when another agent was faster.

    Raises:
        DatabaseError: the database refused it.
    """
    major, minor, patch = components(row["version"])
    values = {name: Jsonb(value) if isinstance(value, Mapping) else value for name, value in row.items()}
    with database.connection() as connection:
        query = load_queries("agent.runtimes")["insert_version"]
        parameters = {**values, "major": major, "minor": minor, "patch": patch}
        return connection.execute(query, parameters).fetchone() is not None


def record_checks(database: Database, checks: Iterable[VersionCheck], *, worker_id: int | None) -> None:
    """Write ``available`` and ``verified_at`` for all workers to see (promise: versions are verified here).

    A version that was verified here is available. One that wasn't becomes unavailable only when no other live worker
    offers it; ``worker_id`` is this worker's own row.

    Raises:
        DatabaseError: the database refused it.
    """
    queries = load_queries("agent.runtimes")
    judged = list(checks)
    here = [check.row for check in judged if check.available]
    missing = [check.row for check in judged if not check.available]
    with database.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        if here:
            cursor.execute(queries["mark_available"], {"ids": sorted(row.id for row in here)})
        if missing:
            offers = cursor.execute(queries["other_offers"], {"worker": worker_id}).fetchall()
            gone = sorted(row.id for row in missing if not any(_offers(offer, row) for offer in offers))
            cursor.execute(queries["mark_unavailable"], {"ids": gone})


def _offers(offer: DictRow, row: RuntimeVersion) -> bool:
    name = normalize_runtime_name(row.runtime_ref.rsplit(".", 1)[-1])
    return any(matches_row(row.version, version, name) for version in advertised_versions(offer, (name,)))


def _runtime(row: DictRow, config: ExecutionConfig) -> Runtime:
    return Runtime(
        id=row["id"],
        ref=row["ref"],
        name=row["name"],
        aliases=tuple(row["aliases"] or ()),
        pack=row["pack"],
        pack_ref=row["pack_ref"],
        distributions=_object(row["distributions"]),
        config=config,
        auto_detected=row["auto_detected"],
        detection_config=_object(row["detection_config"]),
    )


def _version(row: DictRow) -> RuntimeVersion:
    return RuntimeVersion(
        id=row["id"],
        runtime=row["runtime"],
        runtime_ref=row["runtime_ref"],
        version=row["version"],
        config=ExecutionConfig.from_json(row["execution_config"]),
        distributions=_object(row["distributions"]),
        is_default=row["is_default"],
        available=row["available"],
        verified_at=row["verified_at"],
        disabled=bool(row.get("disabled")),
        auto_detected=bool(row.get("auto_detected")),
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
