"""Rows that are old: found and deleted a batch at a time, each batch a transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from psycopg import sql

from agent.db.pool import Connection
from agent.db.queries import load_queries

_PACKAGE = "agent.retention"
_ENDED = ("completed", "failed", "cancelled", "timeout", "abandoned")
_MOST_COUNTED = 1_000_000
"""Rows that a dry run counts of one kind at most."""


@dataclass(frozen=True)
class Kind:
    """Rows of one table. ``statuses``: the statement that finds them is run for each of them.

    ``found_by`` names that statement where it is another than ``find_<name>``.
    """

    name: str
    age: timedelta
    statuses: Sequence[str | None] = (None,)
    found_by: str = ""

    def batch(self, connection: Connection, limit: int) -> list[int]:
        """Delete some in the transaction that is open; return the ids of those that were found."""
        for status in self.statuses:
            found = self._found(connection, status, limit, lock="FOR UPDATE SKIP LOCKED")
            if found:
                statement = load_queries(_PACKAGE)[f"delete_{self.name}"].encode()
                connection.execute(statement, {"ids": found, "age": self.age})
                return found
        return []

    def count(self, connection: Connection) -> int:
        """Return how many would go."""
        return sum(len(self._found(connection, status, _MOST_COUNTED, lock="")) for status in self.statuses)

    def _found(self, connection: Connection, status: str | None, limit: int, *, lock: str) -> list[int]:
        statement = sql.SQL(load_queries(_PACKAGE)[self.found_by or f"find_{self.name}"]).format(lock=sql.SQL(lock))
        values = {"age": self.age, "limit": limit, "status": status}
        return [int(row[0]) for row in connection.execute(statement, values)]


@dataclass(frozen=True)
class History:
    """Rows that have no id: those of the three tables of changes."""

    age: timedelta
    name: str = "history"

    def batch(self, connection: Connection, limit: int) -> int:
        """Delete some in the transaction that is open; return how many."""
        gone = 0
        for table in ("execution", "worker", "sensor"):
            statement = load_queries(_PACKAGE)[f"delete_history_{table}"].encode()
            gone += connection.execute(statement, {"age": self.age, "limit": limit}).rowcount
        return gone

    def count(self, connection: Connection) -> int:
        """Return how many would go."""
        row = connection.execute(load_queries(_PACKAGE)["count_history"].encode(), {"age": self.age}).fetchone()
        return int(row[0]) if row is not None else 0


def events(age: timedelta, *, processed: bool) -> Kind:
    """Events of that age; ``processed``: only those that the rules of this server have looked at."""
    return Kind("events", age, found_by="find_processed_events" if processed else "")


def executions(age: timedelta) -> Kind:
    """Executions that ended so long ago."""
    return Kind("executions", age, _ENDED)
