"""The rows of ``pack_environment``: which environments are wanted, claimed, ready or failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.db.pool import Database
from agent.db.queries import load_queries


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


class EnvironmentStore:
    """Reads and writes the rows; every change of a claimed row is guarded by the claim.

    All methods raise DatabaseError when the database refuses or can't be reached.
    """

    def __init__(self, database: Database, *, lease: float = 300.0) -> None:
        """``lease`` is how many seconds a claim lasts without renewal."""
        self._database = database
        self._lease = lease
        self._sql = load_queries(__package__)

    def upsert(self, record: EnvironmentRecord) -> EnvironmentRow:
        """Insert or refresh the row of this pack, runtime and version."""
        with self._database.connection() as connection:
            connection.execute(self._sql["outdate_changed"], vars(record))
            row = connection.execute(self._sql["upsert_environment"], vars(record)).fetchone()
        assert row is not None
        return EnvironmentRow(*row)

    def read(self, row_id: int) -> EnvironmentRow | None:
        """Return the row as it is now; None when its pack or runtime was deleted."""
        row = self._one("read_environment", {"id": row_id})
        return None if row is None else EnvironmentRow(*row)

    def mark_outdated(self, row_id: int) -> None:
        """Declare a ready row outdated, because the environment isn't usable here."""
        with self._database.connection() as connection:
            connection.execute(self._sql["mark_outdated"], {"id": row_id})

    def claim(self, row_id: int, worker: int) -> bool:
        """Take the row for ``worker`` unless another worker's claim is still valid."""
        return self._one("claim", {"id": row_id, "worker": worker, "lease": self._lease}) is not None

    def renew(self, row_id: int, worker: int) -> bool:
        """Extend the claim; False when it isn't ours any more."""
        return self._one("renew", {"id": row_id, "worker": worker, "lease": self._lease}) is not None

    def ready(self, row_id: int, worker: int, checksum: str | None) -> bool:
        """End the claim with success; False when it isn't ours any more."""
        return self._one("ready", {"id": row_id, "worker": worker, "manifest_checksum": checksum}) is not None

    def failed(self, row_id: int, worker: int, error: str) -> bool:
        """End the claim with a reason; False when it isn't ours any more."""
        text = error.replace("\0", "")
        return self._one("failed", {"id": row_id, "worker": worker, "error": text}) is not None

    def _one(self, name: str, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        with self._database.connection() as connection:
            return connection.execute(self._sql[name], dict(values)).fetchone()
