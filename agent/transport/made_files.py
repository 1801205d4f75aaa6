"""Files that actions made through the API, on a worker that shares no directory with it: which of them go there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agent.db.error_translation import translated
from agent.db.named_statements import Statements
from agent.db.pool import Database


class KnownFile(NamedTuple):
    """A file whose row says how large it is, and by which execution it was made."""

    execution: int
    file_path: str


class MadeFiles:
    """Asks the database; for any thread."""

    def __init__(self, database: Database, worker_id: int) -> None:
        """Ask ``database`` for the worker with this id."""
        self._database = database
        self._worker_id = worker_id
        self._sql = Statements("agent.transport")

    def of_execution(self, execution_id: int) -> list[str]:
        """Return the paths that an execution was to write. Raises DatabaseError."""
        with translated(self._database.address.label), self._database.connection() as connection:
            return self._sql.values(connection, "files_of_execution", {"execution": execution_id})

    def known(self, paths: Sequence[str]) -> list[KnownFile]:
        """Return those of ``paths`` that this worker has recorded: no job may replace a file of somebody else.

        Raises:
            DatabaseError: it can't be asked.
        """
        values = {"paths": list(paths), "worker": self._worker_id}
        with translated(self._database.address.label), self._database.connection() as connection:
            return self._sql.all(connection, KnownFile, "known_files", values)
