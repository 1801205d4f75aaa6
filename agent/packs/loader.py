"""Puts a pack that was read into PostgreSQL, in one transaction; safe to repeat, and by two programs at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import dict_row

from agent.db.named_statements import Statements
from agent.db.pool import Connection, Database
from agent.db.queries import load_queries
from agent.errors import PackError
from agent.packs.announcement import runtime_names
from agent.packs.model import Pack, PackAction, Problem, Sensor
from agent.packs.registered import RegisteredRuntime, runtimes_of
from agent.packs.removal import Vanished, remove_vanished
from agent.packs.rows import (
    action_row,
    pack_row,
    permission_set_row,
    rule_row,
    runtime_row,
    sensor_row,
    trigger_row,
    version_row,
)
from agent.packs.runner_types import find_runtime

INSTALLED_BY = "attune pack register"
"""``pack.installation_method`` of the packs that this program installed, and whose parts it may therefore remove."""


@dataclass(frozen=True)
class Registration:
    """What a registration did. ``added`` and ``updated`` hold ``(kind, ref)``."""

    pack_id: int
    ref: str
    version: str
    created: bool
    added: tuple[tuple[str, str], ...]
    updated: tuple[tuple[str, str], ...]
    vanished: tuple[Vanished, ...]
    runtime_names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def removed(self) -> tuple[Vanished, ...]:
        """What was removed."""
        return tuple(one for one in self.vanished if one.reason is None)

    @property
    def kept(self) -> tuple[Vanished, ...]:
        """What is no longer in the files and was kept, with the reason."""
        return tuple(one for one in self.vanished if one.reason is not None)


def register(database: Database, pack: Pack, *, storage_path: str | None = None) -> Registration:
    """Insert or update the pack and all its parts; ``storage_path`` is where its files lie for workers.

    Rows are updated in place, so that ids, verified versions, and what an operator enabled, disabled or configured
    survive. ``remove_vanished`` says what happens to what is no longer in the files.

    Raises:
        PackError: a runtime that a part names isn't registered; nothing was changed.
        DatabaseError: the database refused; nothing was changed.
    """
    with database.connection() as connection:
        return _Loader(connection, pack).load(storage_path)


@dataclass
class _Loader:
    connection: Connection
    pack: Pack
    pack_id: int = 0
    added: list[tuple[str, str]] = field(default_factory=list)
    updated: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def load(self, storage_path: str | None) -> Registration:
        row = self._row(
            "upsert_pack",
            {**pack_row(self.pack.manifest), "installation_method": INSTALLED_BY, "storage_path": storage_path},
        )
        self.pack_id = row["id"]
        self._load_runtimes()
        runtimes = runtimes_of(self.connection)
        chosen = self._choose_runtimes(runtimes)
        for trigger in self.pack.triggers:
            self._upsert("trigger", trigger_row(trigger))
        for action in self.pack.actions:
            self._upsert("action", {**action_row(action), "runtime": chosen[action.ref].id})
        self._note_retries()
        for sensor in self.pack.sensors:
            self._load_sensor(sensor, chosen[sensor.ref])
        self._load_permission_sets()
        self._load_rules()
        vanished = remove_vanished(self.connection, self.pack, self.pack_id, ours=row["ours"])
        return Registration(
            pack_id=self.pack_id,
            ref=self.pack.ref,
            version=self.pack.manifest.version,
            created=row["created"],
            added=tuple(self.added),
            updated=tuple(self.updated),
            vanished=vanished,
            runtime_names=runtime_names(self.pack, runtimes),
            notes=tuple(self.notes),
        )

    def _note_retries(self) -> None:
        """Keep what the shared table has no column for, where the server's own tables are."""
        refs = [action.ref for action in self.pack.actions if action.retry_abandoned]
        sql = Statements("agent.packs")
        if sql.value(self.connection, "has_server_action"):
            values = {"pack": self.pack_id, "refs": refs}
            sql.run(self.connection, "keep_retry_abandoned", values)
            sql.run(self.connection, "drop_retry_abandoned", values)
        elif refs:
            self.notes.append(f"retry_abandoned of {', '.join(refs)} needs: attune db migrate --server")

    def _load_permission_sets(self) -> None:
        if not self.pack.permission_sets:
            return
        # A schema from before the control side has no place for them; the rest of the pack works without.
        (found,) = self._all("has_permission_sets", {})
        if not found[0]:
            self.notes.append("permission sets were left out: the database has no table for them (attune db migrate)")
            return
        for one in self.pack.permission_sets:
            self._upsert("permission_set", permission_set_row(one))

    def _load_rules(self) -> None:
        for rule in self.pack.rules:
            self._upsert("rule", rule_row(rule))
        self._run("relink_rules", {"pack": self.pack_id})
        refs = [rule.ref for rule in self.pack.rules]
        for ref, what in self._all("rules_without_target", {"refs": refs}):
            self.notes.append(f"rule {ref} names {what}, which is not registered: it starts nothing")

    def _load_runtimes(self) -> None:
        for runtime in self.pack.runtimes:
            runtime_id = self._upsert("runtime", runtime_row(runtime))
            if runtime.versions is None:
                continue
            for version in runtime.versions:
                self._run("upsert_version", {**version_row(version), "runtime": runtime_id, "runtime_ref": runtime.ref})
            listed = [version.version for version in runtime.versions]
            for (version_text,) in self._all("delete_versions", {"runtime": runtime_id, "versions": listed}):
                self.notes.append(f"version {version_text} of {runtime.ref} is no longer listed and was removed")

    def _load_sensor(self, sensor: Sensor, runtime: RegisteredRuntime) -> None:
        sensor_id = self._upsert("sensor", {**sensor_row(sensor), "runtime": runtime.id, "runtime_ref": runtime.ref})
        triggers = list(sensor.triggers)
        link = {"sensor": sensor_id, "sensor_ref": sensor.ref, "pack": self.pack_id, "triggers": triggers}
        self._run("unlink_triggers", link)
        self._run("link_triggers", link)
        for (missing,) in self._all("missing_triggers", {"triggers": triggers}):
            self.notes.append(f"sensor {sensor.ref} fires {missing}, which is not registered")

    def _choose_runtimes(self, runtimes: Sequence[RegisteredRuntime]) -> Mapping[str, RegisteredRuntime]:
        chosen: dict[str, RegisteredRuntime] = {}
        problems: list[Problem] = []
        parts: Iterable[PackAction | Sensor] = (*self.pack.actions, *self.pack.sensors)
        for part in parts:
            runtime = find_runtime(part.runner_type, runtimes)
            if runtime is None:
                message = f"no runtime {part.runner_type!r} is registered"
                problems.append(Problem(part.source, part.runner_line, "runner_type", message))
            else:
                chosen[part.ref] = runtime
        if problems:
            raise PackError(
                f"pack {self.pack.ref} can't be registered: {'; '.join(map(str, problems))}",
                hint="register the pack that brings the runtime first, usually packs/core",
            )
        return chosen

    def _upsert(self, kind: str, row: Mapping[str, Any]) -> int:
        owner = {"pack": self.pack_id, "pack_ref": self.pack.ref}
        result = self._row(f"upsert_{kind}", {**row, **owner})
        (self.added if result["created"] else self.updated).append((kind, row["ref"]))
        return int(result["id"])

    def _row(self, query: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(load_queries("agent.packs")[query], parameters).fetchone()
        if row is None:
            raise PackError(f"{query} of {parameters['ref']} returned no row")
        return row

    def _all(self, query: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._run(query, parameters).fetchall()
        return rows

    def _run(self, query: str, parameters: Mapping[str, Any]) -> Any:
        return self.connection.execute(load_queries("agent.packs")[query], parameters)
