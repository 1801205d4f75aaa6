"""Ephemeral workers that are gone without having left: found by the age of their rows alone.

Nobody starts again under their names, so whoever finds one may take its free lock and clean up after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from agent.db.named_statements import Statements
from agent.db.pool import Database
from agent.presence.worker_locks import WorkerLocks


@dataclass(frozen=True)
class StaleWorker:
    """A worker whose last heartbeat is older than three of its own intervals; ``interval``, ``silence``: seconds."""

    worker_id: int
    name: str
    last_heartbeat: datetime
    interval: float
    silence: float


class StaleWorkers:
    """Finds them and holds their locks; for one thread."""

    def __init__(self, database: Database, worker_id: int) -> None:
        """``worker_id`` is the worker that looks: it never finds itself."""
        self._database = database
        self._worker_id = worker_id
        self._locks = WorkerLocks()
        self._sql = Statements("agent.presence")

    def find(self) -> list[StaleWorker]:
        """Return those that nobody has cleaned up after, the longest gone first. Raises DatabaseError."""
        with self._database.connection() as connection:
            return self._sql.all(connection, StaleWorker, "stale_workers", {"id": self._worker_id})

    @contextmanager
    def held(self, worker: StaleWorker) -> Iterator[bool]:
        """Hold the worker's lock for the block.

        False when somebody else holds it, or the worker has been heard of since. Raises DatabaseError.
        """
        with self._database.connection() as connection:
            locked = self._locks.take_for_transaction(connection, worker.worker_id)
            # Looked at again only now: until the lock was ours anything may have happened.
            before = {"id": worker.worker_id, "last_heartbeat": worker.last_heartbeat}
            yield locked and bool(self._sql.values(connection, "still_stale", before))

    def retire(self, worker: StaleWorker) -> None:
        """Write ``inactive``, and that nothing is left to be reported; only while it is held. Raises DatabaseError."""
        with self._database.connection() as connection:
            self._sql.run(connection, "retire_worker", {"id": worker.worker_id})
