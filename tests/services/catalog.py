"""Packs, actions, runtimes and secrets as the API and the pack loader write them: by SQL, and files on a volume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

#: File name suffixes of actions by the runtime's ref.
_SUFFIXES = {"core.shell": ".sh", "core.python": ".py", "core.nodejs": ".js", "core.native": "", "core.perl": ".pl"}


class Catalog:
    """The tables that say what there is to run, and the directory of packs."""

    def __init__(self, database_url: str, packs: Path, *, schema: str = "attune") -> None:
        """Connect; every statement commits."""
        self.database_url = database_url
        self.schema = schema
        self.packs = packs
        self.database = self.connect()

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open another connection with the schema on its search path; every statement commits."""
        return psycopg.connect(self.database_url, autocommit=True, options=f"-c search_path={self.schema},public")

    def add_pack(self, ref: str) -> int:
        """Register an empty pack, once; return its id."""
        (self.packs / ref / "actions").mkdir(parents=True, exist_ok=True)
        row = self.one(
            "INSERT INTO pack (ref, label, version) VALUES (%s, %s, '1.0.0')"
            " ON CONFLICT (ref) DO UPDATE SET label = excluded.label RETURNING id",
            [ref, ref],
        )
        return int(row["id"])

    def add_action(
        self, ref: str, script: str | None = None, *, runtime: str | None = "core.shell", **columns: Any
    ) -> int:
        """Register an action; its ``script`` is written to the pack, under the name that ``entrypoint`` gives.

        Objects among ``columns`` become jsonb. Return the action's id.
        """
        pack, _, name = ref.partition(".")
        entrypoint = columns.setdefault("entrypoint", name + _SUFFIXES.get(runtime or "", ".sh"))
        pack_id = self.add_pack(pack)
        if script is not None:
            self.write(pack, f"actions/{entrypoint}", script)
        runtime_id = None if runtime is None else self.one("SELECT id FROM runtime WHERE ref = %s", [runtime])["id"]
        values = {"ref": ref, "pack": pack_id, "pack_ref": pack, "label": name, "runtime": runtime_id} | columns
        return self.insert("action", values)

    def add_sensor(
        self, ref: str, script: str | None = None, *, runtime: str = "core.shell", triggers: int = 1, **columns: Any
    ) -> int:
        """Register a sensor with triggers ``<ref>_1``, ``<ref>_2`` …, its script as an action's. Return its id."""
        pack, _, name = ref.partition(".")
        entrypoint = columns.setdefault("entrypoint", name + _SUFFIXES.get(runtime, ".sh"))
        pack_id = self.add_pack(pack)
        if script is not None:
            self.write(pack, f"sensors/{entrypoint}", script)
        runtime_id = self.one("SELECT id FROM runtime WHERE ref = %s", [runtime])["id"]
        values = {"ref": ref, "pack": pack_id, "pack_ref": pack, "label": name, "runtime": runtime_id, "enabled": True}
        sensor = self.insert("sensor", values | {"runtime_ref": runtime} | columns)
        for number in range(1, triggers + 1):
            trigger = {"ref": f"{ref}_{number}", "pack": pack_id, "pack_ref": pack, "label": name, "enabled": True}
            self.insert("trigger", trigger | {"sensor": sensor, "sensor_ref": ref})
        return sensor

    def add_rule(self, ref: str, trigger_ref: str, action_ref: str = "core.noop", **columns: Any) -> int:
        """Register a rule that is on; return its id."""
        pack = ref.partition(".")[0]
        trigger = self.one("SELECT id FROM trigger WHERE ref = %s", [trigger_ref])["id"]
        values = {"ref": ref, "pack": self.add_pack(pack), "pack_ref": pack, "label": ref, "action_ref": action_ref}
        return self.insert("rule", values | {"trigger": trigger, "trigger_ref": trigger_ref, "enabled": True} | columns)

    def write(self, pack: str, path: str, text: str, *, mode: int = 0o755) -> Path:
        """Write a file of a pack."""
        file = self.packs / pack / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def add_runtime(self, ref: str, execution_config: Mapping[str, Any], **columns: Any) -> int:
        """Register a runtime of no pack; return its id."""
        name = ref.rpartition(".")[2]
        values = {"ref": ref, "name": name, "aliases": [name], "distributions": {}} | columns
        return self.insert("runtime", values | {"execution_config": dict(execution_config)})

    def add_runtime_version(self, runtime: str, version: str, binary: str, **columns: Any) -> int:
        """Register a version whose interpreter is ``binary``, verified by running it with ``--version``."""
        verification = {"commands": [{"binary": binary, "args": ["--version"], "exit_code": 0, "priority": 1}]}
        major, minor, patch = (*(int(part) for part in version.split(".")), None, None)[:3]
        values = {
            "runtime": self.one("SELECT id FROM runtime WHERE ref = %s", [runtime])["id"],
            "runtime_ref": runtime,
            "version": version,
            "version_major": major,
            "version_minor": minor,
            "version_patch": patch,
            "execution_config": {"interpreter": {"binary": binary, "args": [], "file_extension": ".fake"}},
            "distributions": {"verification": verification},
        }
        return self.insert("runtime_version", values | columns)

    def one(self, statement: str, values: Any = None) -> dict[str, Any]:
        """Return the only row."""
        rows = self.all(statement, values)
        assert len(rows) == 1, f"{len(rows)} rows: {statement} {values}"
        return rows[0]

    def all(self, statement: str, values: Any = None) -> list[dict[str, Any]]:
        """Return all rows."""
        with self.database.cursor(row_factory=dict_row) as cursor:
            cursor.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def insert(self, table: str, values: Mapping[str, Any]) -> int:
        """Insert a row, objects as jsonb; return its id."""
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() for _ in values),
        )
        cells = [Jsonb(value) if isinstance(value, dict) else value for value in values.values()]
        row = self.database.execute(statement, cells).fetchone()
        assert row is not None
        return int(row[0])
