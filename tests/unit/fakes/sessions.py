"""A PostgreSQL with one table of workers and its session locks, as far as the registration talks to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, cast

import psycopg

from agent.db.address import Address
from agent.db.pool import Connection, Database
from agent.db.queries import load_queries
from agent.errors import DatabaseUnavailable
from tests.unit.fakes.clock import FakeClock

#: The columns of the one row that a statement returns, if it returns any.
Answer = Mapping[str, Any] | None
#: Far more statements than any test here needs.
_MANY = 1000


@dataclass
class WorkerRow:
    """A row of ``worker``."""

    id: int
    name: str
    role: str = "action"
    status: str = "inactive"
    host: str | None = None
    last_heartbeat: datetime | None = None
    drained_at: datetime | None = None
    capabilities: str = ""


@dataclass
class Session:
    """One session on the server, which may outlive its connection: the server has not noticed yet."""

    pid: int
    started: datetime
    application: str = "attune-agent"
    locks: set[str] = field(default_factory=set)


class FakeServer:
    """Rows and sessions, shared by all connections. ``away``: nobody gets in and what is asked fails."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.rows: dict[str, WorkerRow] = {}
        self.sessions: dict[int, Session] = {}
        self.away = False
        #: How often a session that was told to end is still seen.
        self.lingers = 0
        self.statements: list[str] = []
        #: The statement whose next answer is lost with its connection.
        self.lost_answer = ""
        self._pids = count(100)
        self._ending: dict[int, int] = {}
        self._names = {text: name for name, text in load_queries("agent.presence").items()}

    def begin(self, *, application: str = "attune-agent") -> Session:
        """Let somebody connect."""
        session = Session(next(self._pids), self.clock.now(), application)
        self.sessions[session.pid] = session
        return session

    def end(self, session: Session) -> None:
        """Let a session be over, and its locks with it."""
        self.sessions.pop(session.pid, None)

    def holder(self, key: str) -> Session | None:
        """Return whoever has a lock."""
        return next((session for session in self.sessions.values() if key in session.locks), None)

    def loses_answer(self, text: str) -> bool:
        """Whether the answer to a statement is lost now."""
        lost = bool(self.lost_answer) and self._names.get(text) == self.lost_answer
        self.lost_answer = "" if lost else self.lost_answer
        return lost

    def run(self, session: Session, text: str, values: Mapping[str, Any]) -> Answer:
        """Run one statement of the registration."""
        name = self._names.get(text)
        if name is None:
            assert "set_config" in text, f"an unknown statement: {text}"
            return None
        self.statements.append(name)
        assert len(self.statements) < _MANY, "the registration goes round in circles"
        self._end_what_was_told_to()
        return self._statements()[name](session, values)

    def _statements(self) -> Mapping[str, Callable[[Session, Mapping[str, Any]], Answer]]:
        return {
            "find_worker": lambda _, values: self._find(values["name"]),
            "insert_worker": lambda _, values: self._insert(values),
            "refresh_worker": lambda _, values: self._update(values, status="inactive", host=values["host"]),
            "this_session": lambda session, _: {"pid": session.pid, "backend_start": session.started},
            "lock_worker": lambda session, values: self._lock(session, values["name"]),
            "lock_holder": lambda _, values: self._holder(values["name"]),
            "end_session": lambda _, values: self._tell_to_end(values["pid"]),
            "set_status": lambda _, values: self._update(values, beats=True, status=values["status"]),
            "set_drained": lambda _, values: self._update(values, beats=True, status="inactive", drains=True),
            "set_capabilities": lambda _, values: self._update(values, capabilities=values["capabilities"]),
            "beat": lambda _, values: self._update(values, beats=True, status="active"),
            "beat_while_busy": lambda _, values: self._update(values, beats=True),
        }

    def _find(self, name: str) -> Answer:
        row = self.rows.get(name)
        if row is None:
            return None
        drained = row.drained_at is not None and row.drained_at == row.last_heartbeat
        found = {"id": row.id, "role": row.role, "host": row.host, "last_heartbeat": row.last_heartbeat}
        return found | {"drained": drained, "unannounced": None}

    def _insert(self, values: Mapping[str, Any]) -> Answer:
        row = WorkerRow(len(self.rows) + 1, values["name"], host=values["host"], last_heartbeat=self.clock.now())
        self.rows.setdefault(row.name, row)
        return None

    def _update(
        self, values: Mapping[str, Any], *, beats: bool = False, drains: bool = False, **columns: Any
    ) -> Answer:
        row = next(row for row in self.rows.values() if row.id == values["id"])
        for column, value in columns.items():
            setattr(row, column, value)
        if beats:
            row.last_heartbeat = self.clock.now()
        if drains:
            row.drained_at = self.clock.now()
        return None

    def _lock(self, session: Session, key: str) -> Answer:
        holder = self.holder(key)
        if holder is None:
            session.locks.add(key)
        return {"locked": holder in (None, session), "pid": session.pid, "backend_start": session.started}

    def _holder(self, key: str) -> Answer:
        holder = self.holder(key)
        if holder is None:
            return None
        place = {"address": "10.0.0.9", "application_name": holder.application}
        return place | {"pid": holder.pid, "backend_start": holder.started}

    def _tell_to_end(self, pid: int) -> Answer:
        self._ending[pid] = self.lingers
        return None

    def _end_what_was_told_to(self) -> None:
        for pid in list(self._ending):
            self._ending[pid] -= 1
            if self._ending[pid] < 0:
                del self._ending[pid]
                self.sessions.pop(pid, None)


class FakeConnection:
    """One connection. ``lose`` cuts it; the server notices that only if it is told to."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self.session = server.begin()
        self.closed = False
        self._lost = False

    def execute(self, text: bytes | str, values: Any = None) -> None:
        """Run a statement whose rows nobody wants."""
        self.run(text, values)

    def cursor(self, *, binary: bool, row_factory: Callable[..., Any]) -> FakeCursor:
        """Return a cursor whose rows are made by ``row_factory``, which is the class of the row here."""
        return FakeCursor(self, row_factory)

    def run(self, text: bytes | str, values: Any) -> Answer:
        """Run one statement."""
        if self.closed or self._lost or self._server.away or self.session.pid not in self._server.sessions:
            self.closed = True
            raise psycopg.OperationalError("the connection is closed")
        text = text.decode() if isinstance(text, bytes) else text
        answer = self._server.run(self.session, text, values or {})
        if self._server.loses_answer(text):
            self._lost = self.closed = True
            raise psycopg.OperationalError("the connection is closed")
        return answer

    def lose(self, *, noticed: bool) -> None:
        """Cut the connection; ``noticed``: the server ends its session, too."""
        self._lost = True
        if noticed:
            self._server.end(self.session)

    def close(self) -> None:
        """End the session; over a connection that is lost the server is not told."""
        self.closed = True
        if not self._lost:
            self._server.end(self.session)


class FakeCursor:
    """Runs one statement whose answer is at most one row."""

    def __init__(self, connection: FakeConnection, kind: Callable[..., Any]) -> None:
        self._connection = connection
        self._kind = kind
        self._row: Answer = None

    def execute(self, text: bytes | str, values: Any = None) -> FakeCursor:
        """Run the statement."""
        self._row = self._connection.run(text, values)
        return self

    def fetchone(self) -> Any:
        """Return the row."""
        return None if self._row is None else self._kind(**self._row)


class FakeDatabase(Database):
    """See ``Database``: opens connections to a fake server, which are kept in ``connections``."""

    def __init__(self, server: FakeServer) -> None:
        self.address = Address({}, "attune", "attune", "db:5432/attune")
        self._server = server
        self.connections: list[FakeConnection] = []

    def connect(self, *, autocommit: bool = False, statement_timeout: float = 0) -> Connection:
        """Open a connection."""
        if self._server.away:
            raise DatabaseUnavailable("the connection failed")
        self._server.clock.seconds += timedelta.resolution.total_seconds()  # no two sessions start at the same time
        self.connections.append(FakeConnection(self._server))
        return cast(Connection, self.connections[-1])
