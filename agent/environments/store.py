"""The rows of ``pack_environment``: which environments are wanted, claimed, ready or failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from agent.db.named_statements import Statements
from agent.db.pool import Database


@dataclass(frozen=True)
class EnvironmentRecord:
    """What a row says about an environment; ids are rows of ``pack``, ``runtime`` and ``runtime_version``."""

    pack: int
    pack_ref: str
    runtime: int
    runtime_ref: str
    runtime_version: int | None
    runtime_version_text: str | None
    env_path: str
    manifest_checksum: str | None


@dataclass(frozen=True)
class EnvironmentRow:
    """A row's id and state: ``pending``, ``installing``, ``ready``, ``failed`` or ``outdated``."""

    id: int
    status: str
    manifest_checksum: str | None


@dataclass(frozen=True)
class Built:
    """What a build came to: ``size`` in bytes on the disk, ``seconds`` it took."""

    size: int
    seconds: float


class _Changed(NamedTuple):
    id: int


class EnvironmentStore:
    """Reads and writes the rows; every change of a claimed row is guarded by the claim.

    All methods raise DatabaseError when the database refuses or can't be reached.
    """

    def __init__(self, database: Database, *, lease: float = 300.0) -> None:
        """``lease`` is how many seconds a claim lasts without renewal."""
        self._database = database
        self._lease = lease
        self._sql = Statements(__package__)

    def upsert(self, record: EnvironmentRecord) -> EnvironmentRow:
        """Insert or refresh the row of this pack, runtime and version."""
        with self._database.connection() as connection:
            self._sql.run(connection, "outdate_changed", vars(record))
            row = self._sql.one(connection, EnvironmentRow, "upsert_environment", vars(record))
        assert row is not None
        return row

    def read(self, row_id: int) -> EnvironmentRow | None:
        """Return the row as it is now; None when its pack or runtime was deleted."""
        with self._database.connection() as connection:
            return self._sql.one(connection, EnvironmentRow, "read_environment", {"id": row_id})

    def mark_outdated(self, row_id: int) -> None:
        """Declare a ready row outdated, because the environment isn't usable here."""
        with self._database.connection() as connection:
            self._sql.run(connection, "mark_outdated", {"id": row_id})

    def claim(self, row_id: int, worker: int) -> bool:
        """Take the row for ``worker`` unless another worker's claim is still valid."""
        return self._changed("claim", {"id": row_id, "worker": worker, "lease": self._lease})

    def renew(self, row_id: int, worker: int) -> bool:
        """Extend the claim; False when it isn't ours any more."""
        return self._changed("renew", {"id": row_id, "worker": worker, "lease": self._lease})

    def ready(self, row_id: int, worker: int, checksum: str | None, built: Built) -> bool:
        """End the claim with success; False when it isn't ours any more."""
        facts = Jsonb({"worker": worker, "bytes": built.size, "seconds": round(built.seconds, 1)})
        values = {"id": row_id, "worker": worker, "manifest_checksum": checksum, "built": facts}
        return self._changed("ready", values)

    def used(self, pack: int, runtime: int, runtime_version: int | None) -> None:
        """Note that the environment was used just now."""
        values = {"pack": pack, "runtime": runtime, "runtime_version": runtime_version}
        with self._database.connection() as connection:
            self._sql.run(connection, "used", values)

    def failed(self, row_id: int, worker: int, error: str) -> bool:
        """End the claim with a reason; False when it isn't ours any more."""
        text = error.replace("\0", "")
        return self._changed("failed", {"id": row_id, "worker": worker, "error": text})

    def _changed(self, name: str, values: Mapping[str, Any]) -> bool:
        with self._database.connection() as connection:
            return self._sql.one(connection, _Changed, name, values) is not None
