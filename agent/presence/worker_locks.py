"""The advisory locks of a worker: one that its process holds for life, and a mark that all its other sessions carry.

Both are of one schema: two deployments in one database each have a worker 1, and know nothing of each other. An agent
of release 0.1.0 knew a worker by its id alone. Its lock is respected, and it is kept out by a shared lock on that key,
which agents of several schemas can hold at once; remove both after the next release.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from agent.db.named_statements import Statements
from agent.db.pool import Connection

_EARLIER_LIFE_LOCK = 0x4174776B << 32
_EARLIER_SESSION_MARK = 0x41747365 << 32


class Session(NamedTuple):
    """A session on the server; its process id alone may be given away again."""

    pid: int
    backend_start: datetime


class LockHolder(NamedTuple):
    """Who holds a worker's lock."""

    address: str
    application_name: str
    pid: int
    backend_start: datetime


class _Attempt(NamedTuple):
    locked: bool
    pid: int
    backend_start: datetime


class WorkerLocks:
    """On connections of the caller, who may use one object in several threads. Each method raises psycopg.Error."""

    def __init__(self) -> None:
        """Read the statements; nothing is asked of the server."""
        self._sql = Statements("agent.presence")

    def take(self, connection: Connection, worker_id: int) -> Session | None:
        """Take a worker's lock until its session ends, or ``release``; None where another session has it."""
        attempt = self._sql.one(connection, _Attempt, "lock_worker", _life(worker_id))
        return Session(attempt.pid, attempt.backend_start) if attempt is not None and attempt.locked else None

    def session(self, connection: Connection) -> Session | None:
        """Return the session of a connection."""
        return self._sql.one(connection, Session, "this_session", {})

    def release(self, connection: Connection, worker_id: int) -> None:
        """Give back what ``take`` took."""
        self._sql.run(connection, "unlock_worker", _life(worker_id))

    def take_for_transaction(self, connection: Connection, worker_id: int) -> bool:
        """Take a worker's lock until the end of the transaction; False where another session has it."""
        return bool(self._sql.value(connection, "lock_worker_for_transaction", _life(worker_id)))

    def holder(self, connection: Connection, worker_id: int) -> LockHolder | None:
        """Return who holds a worker's lock."""
        return self._sql.one(connection, LockHolder, "lock_holder", _life(worker_id))

    def mark_session(self, connection: Connection, worker_id: int) -> None:
        """Mark a session as one of this worker: a later life finds it, should it outlive its process."""
        self._sql.run(connection, "mark_session", _mark(worker_id))

    def end_sessions(self, connection: Connection, worker_id: int, only: Session | None = None) -> int:
        """Tell marked sessions of this worker to end, ``only`` one or all others; return how many were still there.

        Only for the holder of the worker's lock.
        """
        pid, backend_start = only or (None, None)
        values = {"pid": pid, "backend_start": backend_start}
        return len(self._sql.values(connection, "end_sessions", _mark(worker_id) | values))


def _life(worker_id: int) -> dict[str, Any]:
    return {"name": f".worker.{worker_id}", "earlier": _EARLIER_LIFE_LOCK | worker_id}


def _mark(worker_id: int) -> dict[str, Any]:
    return {"name": f".worker.{worker_id}.session", "earlier": _EARLIER_SESSION_MARK | worker_id}
