"""Versions of artifacts that their policies no longer keep, or that are too much altogether."""

from __future__ import annotations

from typing import NamedTuple

from agent.db.named_statements import Statements
from agent.db.pool import Connection

_ARTIFACTS = 500


class _Version(NamedTuple):
    id: int
    file_path: str | None


class _Sized(NamedTuple):
    id: int
    file_path: str | None
    size_bytes: int


class Found(NamedTuple):
    """Some versions that may go; ``last`` is the last artifact that was looked at, None when there is none."""

    versions: list[tuple[int, str | None]]
    last: int | None


class Versions:
    """Finds and deletes them; each call belongs to the transaction that is open."""

    def __init__(self) -> None:
        """Read the statements."""
        self._sql = Statements("agent.retention")

    def expired(self, connection: Connection, after: int, limit: int) -> Found:
        """Look at some artifacts behind ``after``, at ``limit`` versions of each: ask again while anything is found."""
        values = {"after": after, "artifacts": _ARTIFACTS, "limit": limit}
        last = self._sql.value(connection, "next_artifacts", values)
        if last is None:
            return Found([], None)
        rows = self._sql.all(connection, _Version, "find_versions", values | {"last": last})
        return Found([(one.id, one.file_path) for one in rows], last)

    def surplus(self, connection: Connection, most: int, limit: int) -> list[tuple[int, str | None]]:
        """Return the oldest versions that all together are what there is above ``most`` bytes."""
        over = int(self._sql.value(connection, "bytes_of_versions")) - most
        found: list[tuple[int, str | None]] = []
        if over <= 0:
            return found
        for one in self._sql.all(connection, _Sized, "find_oldest_versions", {"limit": limit}):
            if over <= 0:
                break
            found.append((one.id, one.file_path))
            over -= one.size_bytes
        return found

    def delete(self, connection: Connection, ids: list[int]) -> set[int]:
        """Delete versions, except those that somebody holds now; return which went."""
        return set(self._sql.values(connection, "delete_versions", {"ids": ids}))

    def unnamed(self, connection: Connection, paths: list[str]) -> list[str]:
        """Return those paths that no row names."""
        named = set(self._sql.values(connection, "named_files", {"paths": paths})) if paths else set()
        return [path for path in paths if path not in named]

    def known_executions(self, connection: Connection, ids: list[int]) -> list[int]:
        """Return which of these executions exist."""
        return self._sql.values(connection, "known_executions", {"ids": ids})
