"""The worker's place in the database: its row, and the session lock that keeps a second process out of it.

One connection serves the lock and the heartbeat, so that a beat that fails and a lock that is lost are one event.

Promise: one process for each name.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import psycopg

from agent.db.error_translation import is_away, translated
from agent.db.named_statements import Row, Statements
from agent.db.pool import Connection, Database
from agent.errors import ConfigurationError, DatabaseError, DatabaseUnavailable, WorkerNameTaken
from agent.presence.identity import Identity
from agent.presence.worker_locks import LockHolder, Session, WorkerLocks

log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.25
#: Seconds that a session gets to end after it was told to.
_SESSION_END_SECONDS = 5.0
#: A row that somebody else has locked must hold up neither a heartbeat nor a drain.
_STATEMENT_SECONDS = 5.0
_RELEASE_SECONDS = 2.0


_A_WORKER = {"action": "an action worker", "sensor": "a sensor worker"}

Answer = TypeVar("Answer")


class _FoundWorker(NamedTuple):
    id: int
    role: str
    host: str | None
    last_heartbeat: datetime | None
    drained: bool
    unannounced: datetime | None


@dataclass(frozen=True)
class Registered:
    """A worker's row as it was found: ``previous_heartbeat`` is that of the previous process, which may
    have left something unreported, None after one that ended in order.

    ``unannounced`` is since when its messages waited for the broker at its last heartbeat, None if none did.
    """

    worker_id: int
    previous_heartbeat: datetime | None
    unannounced: datetime | None = None


class Registration:
    """Held from registration to exit. Only its holder consumes, reconciles and writes this worker's row."""

    def __init__(self, database: Database, identity: Identity) -> None:
        """Prepare; nothing is read or written yet."""
        self._database = database
        self._identity = identity
        self._sql = Statements("agent.presence")
        self._locks = WorkerLocks()
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        #: The connection whose session holds the lock; one opened after a loss holds nothing.
        self._holding: Connection | None = None
        #: The session that held it last, and each that has tried since: it may have it although nobody heard of that.
        self._sessions: set[Session] = set()
        self._noted: Connection | None = None
        self._worker_id: int | None = None

    @property
    def worker_id(self) -> int:
        """The id of the worker's row; only valid after ``register``."""
        assert self._worker_id is not None, "the worker is not registered yet"
        return self._worker_id

    def register(self, *, patience: float, giving_up: threading.Event) -> Registered:
        """Register as ``inactive`` and hold the lock for life.

        Waits up to ``patience`` seconds for another process under this name to leave.

        Raises:
            WorkerNameTaken: it did not leave; the message names its host.
            ConfigurationError: the name belongs to a worker of the other role.
            DatabaseUnavailable: the database can't be reached.
        """
        deadline = time.monotonic() + patience
        row_id = self._row()
        waiting = False
        while not self._try_lock(row_id):
            if not waiting:
                waiting = True
                log.warning("another process runs as %s (%s); waiting", self._identity.name, self._holder(row_id))
            if time.monotonic() >= deadline or giving_up.wait(_RETRY_SECONDS):
                raise WorkerNameTaken(
                    f"another process runs as worker {self._identity.name}: {self._holder(row_id)}",
                    hint="stop it, or give this one another name (--name, ATTUNE_WORKER_NAME)",
                )
        # Read what the previous process left only now: until the lock was ours it was still alive.
        found = self._find()
        values = {"id": row_id, "host": self._identity.host, "port": self._identity.port}
        values["origin"] = json.dumps(dict(self._identity.origin))
        self._execute("refresh_worker", values | {"capabilities": json.dumps(self._identity.capabilities)})
        self._worker_id = row_id
        previous = found.last_heartbeat if found and not found.drained else None
        return Registered(row_id, previous, found.unannounced if found else None)

    def beat(self, *, restore_active: Callable[[], bool], unannounced: int | None = None) -> bool:
        """Write a heartbeat; take the lock back when its session was lost. False when another process has it now.

        ``restore_active`` is asked when nothing can come between its answer and the write. ``unannounced`` is since
        when messages wait for the broker (Unix seconds): the next life is to send them should this one not come to it.

        Raises:
            DatabaseError: the database is away; a later beat tries again.
        """
        with self._lock:
            if not self._held():
                return False
            values = {"id": self.worker_id, "unannounced": unannounced}
            self._execute("beat" if restore_active() else "beat_while_busy", values)
            return True

    def set_status(self, status: str, *, unannounced: int | None = None) -> bool:
        """Write the status and a heartbeat, unless another process holds the name: False. Raises DatabaseError.

        ``unannounced`` as for ``beat``.
        """
        return self._write("set_status", {"id": self.worker_id, "status": status, "unannounced": unannounced})

    def set_drained(self) -> bool:
        """Write ``inactive`` and that nothing is left to be reported, as ``set_status``. Raises DatabaseError."""
        return self._write("set_drained", {"id": self.worker_id})

    def set_capabilities(self, capabilities: Mapping[str, Any]) -> bool:
        """Replace what the worker advertises, unless another process holds the name: False. Raises DatabaseError."""
        return self._write("set_capabilities", {"id": self.worker_id, "capabilities": json.dumps(capabilities)})

    def release(self, timeout: float = _RELEASE_SECONDS) -> None:
        """Give the lock up; where a statement still waits for the database, its session ends with this process."""
        if not self._lock.acquire(timeout=timeout):
            return
        try:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
        finally:
            self._lock.release()

    def _row(self) -> int:
        found = self._find()
        while found is None:
            values = {"name": self._identity.name, "worker_type": self._identity.worker_type}
            values["role"] = self._identity.role
            self._execute(
                "insert_worker",
                values
                | {"runtime": self._identity.runtime, "host": self._identity.host, "port": self._identity.port}
                | {"capabilities": json.dumps(self._identity.capabilities)},
            )
            found = self._find()
        if found.role != self._identity.role:
            raise ConfigurationError(
                f"the name {self._identity.name} belongs to {_A_WORKER[found.role]}",
                hint="give this worker another name (--name)",
            )
        return found.id

    def _find(self) -> _FoundWorker | None:
        return self._one(_FoundWorker, "find_worker", {"name": self._identity.name})

    def _write(self, name: str, values: Mapping[str, Any]) -> bool:
        """Write this worker's row as its holder; a session that had died unnoticed gets a second try."""
        with self._lock:
            try:
                if not self._held():
                    return False
                self._execute(name, values)
            except DatabaseUnavailable:
                if self._connection is not None and not self._connection.closed:
                    raise
                if not self._held():
                    return False
                self._execute(name, values)
            return True

    def _held(self) -> bool:
        """Make sure that the session in use holds the lock; False when another process has it."""
        with self._lock:
            connection = self._connection
            if connection is not None and connection is self._holding and not connection.closed:
                return True
            if self._try_lock(self.worker_id):
                return True
            holder = self._lock_holder(self.worker_id)
            if holder is None or Session(holder.pid, holder.backend_start) not in self._sessions:
                return False
            # Our own earlier session: its connection broke without the server having noticed.
            log.info("ending this worker's earlier session on the database, whose connection was lost")
            self._execute("end_session", {"pid": holder.pid})
            deadline = time.monotonic() + _SESSION_END_SECONDS
            while not (taken := self._try_lock(self.worker_id)) and time.monotonic() < deadline:
                time.sleep(_RETRY_SECONDS / 5)
            return taken

    def _try_lock(self, worker_id: int) -> bool:
        with self._lock:
            self._note_session()
            session = self._asked(lambda connection: self._locks.take(connection, worker_id))
            if session is None:
                return False
            self._holding, self._sessions = self._connection, {session}
            return True

    def _note_session(self) -> None:
        """Remember which session is about to try: the answer to that may be lost with its connection."""
        if self._noted is None or self._noted is not self._connection or self._noted.closed:
            session = self._asked(self._locks.session)
            self._noted = self._connection
            if session is not None:
                self._sessions.add(session)

    def _lock_holder(self, worker_id: int) -> LockHolder | None:
        return self._asked(lambda connection: self._locks.holder(connection, worker_id))

    def _holder(self, worker_id: int) -> str:
        with contextlib.suppress(DatabaseError):
            holder = self._lock_holder(worker_id)
            found = self._find()
            host = found.host if found else None
            if holder is not None:
                return f"{holder.application_name} on host {host or 'unknown'}, connected from {holder.address}"
        return "its host is unknown"

    def _execute(self, name: str, values: Mapping[str, Any]) -> None:
        """Run one statement on the registration's own connection."""
        self._asked(lambda connection: self._sql.run(connection, name, values))

    def _one(self, kind: type[Row], name: str, values: Mapping[str, Any]) -> Row | None:
        """Run one statement on the registration's own connection and return its first row, if there is one."""
        return self._asked(lambda connection: self._sql.one(connection, kind, name, values))

    def _asked(self, statement: Callable[[Connection], Answer]) -> Answer:
        """Return what the server answers on the registration's own connection."""
        with self._lock, translated(self._database.address.label):
            if self._connection is None or self._connection.closed:
                self._connection = self._database.connect(autocommit=True, statement_timeout=_STATEMENT_SECONDS)
            try:
                return statement(self._connection)
            except psycopg.Error as error:
                if is_away(error) and not self._connection.closed:  # it lives on, on a server that became a standby
                    self._connection.close()
                raise
