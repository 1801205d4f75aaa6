"""Artifacts as rows: what executions leave behind, and the versions of each."""

from __future__ import annotations

from typing import Any

from agent.db.named_statements import Statements
from agent.db.pool import Connection

MOST_VERSIONS = 10_000
_FILTERS = ("scope", "owner", "type", "visibility", "execution", "name")


class StoredArtifacts:
    """Reads them; every row is a mapping by the names of its columns."""

    def __init__(self, connection: Connection) -> None:
        """Read on ``connection``, in the transaction that is open."""
        self._connection = connection
        self._sql = Statements("agent.control")

    def find(self, *, number: int | None = None, ref: str | None = None) -> dict[str, Any] | None:
        """Return the one with this id or ref; of several with one ref the oldest."""
        return self._first("artifact", {"id": number, "ref": ref})

    def newest(self, *, limit: int, below: int | None = None, **filters: Any) -> list[dict[str, Any]]:
        """Return some, newest first, those with an id below ``below``.

        ``filters`` are ``scope, owner, type, visibility, execution`` (its id), and ``name``, which is a part of it.
        """
        values = dict.fromkeys(_FILTERS) | filters | {"limit": limit, "below": below}
        return self._sql.mappings(self._connection, "list_artifacts", values)

    def versions(self, artifact: int) -> list[dict[str, Any]]:
        """Return the versions of one, newest first, without their content."""
        values = {"artifact": artifact, "most": MOST_VERSIONS}
        return self._sql.mappings(self._connection, "artifact_versions", values)

    def version(self, artifact: int, number: int | None) -> dict[str, Any] | None:
        """Return a version with its content, the latest for None."""
        return self._first("artifact_version", {"artifact": artifact, "version": number})

    def left_by(self, execution: int) -> list[dict[str, Any]]:
        """Return what an execution left, in the order in which it was made."""
        return self._sql.mappings(self._connection, "artifacts_of_execution", {"id": execution})

    def _first(self, name: str, values: dict[str, Any]) -> dict[str, Any] | None:
        found = self._sql.mappings(self._connection, name, values)
        return found[0] if found else None
