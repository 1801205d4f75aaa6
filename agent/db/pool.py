"""Connections to PostgreSQL: a few, opened when they are needed, shared by the threads of one process.

A general-purpose pool connects in the background and backs off for minutes; an agent must learn at once that
the database is away, and at once that it is back. So a connection is opened by the thread that wants it.
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from agent.db.address import Address, address_of
from agent.db.error_translation import is_away, translated
from agent.errors import DatabaseUnavailable
from agent.settings import DatabaseSettings

Connection = psycopg.Connection[tuple[Any, ...]]


# What this program relies on, whatever an operator set for the database or the role: how times, intervals and bytes
# look as text, and that a guarded update looks again at a row that another one has just changed. UTC: a container
# without a time zone database could not name any other zone. Keepalives of the server's side, too: a session whose
# client lost power would hold its locks for two hours, and a worker's place with them.
_SESSION = """
SELECT set_config('search_path', %s, false), set_config('TimeZone', 'UTC', false),
       set_config('DateStyle', 'ISO, MDY', false), set_config('IntervalStyle', 'postgres', false),
       set_config('bytea_output', 'hex', false), set_config('extra_float_digits', '1', false),
       set_config('standard_conforming_strings', 'on', false), set_config('transform_null_equals', 'off', false),
       set_config('quote_all_identifiers', 'off', false), set_config('array_nulls', 'on', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('tcp_keepalives_idle', '20', false), set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '4', false), set_config('tcp_user_timeout', '40s', false)
"""
# Transactions that notify are committed one at a time, and each waits for the disk before the next one may: of ten
# requests at once the last waits ten times. So the transaction does not wait. What waits is a second one behind it that
# notifies nobody and writes nothing but a mark: it is on the disk when all before it is, and many wait together.
_BEGIN_UNFLUSHED = "BEGIN; SET LOCAL synchronous_commit = off"
_FLUSH = "SELECT pg_logical_emit_message(true, 'attune', '')"
_STATEMENT_TIMEOUT = "SELECT set_config('statement_timeout', %s, false)"
# Sessions that are kept for long and hold locks; the setting is known since PostgreSQL 14.
_KEPT_SESSION = """
SELECT set_config('statement_timeout', %s, false),
       CASE WHEN current_setting('idle_session_timeout', true) IS NOT NULL
            THEN set_config('idle_session_timeout', '0', false) END
"""


class Database:
    """The database that the settings name; every connection works in their schema."""

    def __init__(self, settings: DatabaseSettings, *, application_name: str, statement_timeout: float = 0) -> None:
        """Prepare; nothing is connected yet. ``application_name`` shows up in ``pg_stat_activity``.

        ``statement_timeout`` is in seconds, 0 means none: the server ends a statement of the pool that takes longer.

        Raises:
            ConfigurationError: the URL or the schema's name is malformed.
        """
        self.address: Address = address_of(settings, application_name=application_name)
        self._settings = settings
        self._statement_timeout = statement_timeout
        self._slots = threading.BoundedSemaphore(max(1, settings.max_connections))
        self._lock = threading.Lock()
        self._idle: list[tuple[float, Connection]] = []
        self._closed = False
        self._can_flush: bool | None = None

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection for one transaction, committed at the end of the block, rolled back on an exception.

        Raises:
            DatabaseUnavailable: no connection can be had within ``connect_timeout``, or it was lost.
            DatabaseError: a statement was refused; the psycopg error is its ``__cause__``.
        """
        with self._lent(autocommit=False) as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lend a connection for a statement or two that read: each for itself, which saves the beginning and the end.

        Raises:
            DatabaseError: as ``connection``.
        """
        with self._lent(autocommit=True) as connection:
            yield connection

    @contextlib.contextmanager
    def flushed_together(self) -> Iterator[Connection]:
        """Lend a connection for one transaction that notifies: others see it at once, when this ends it is on the disk.

        What others make of it meanwhile is lost with it, or not at all: the database writes its log in one order.

        Raises:
            DatabaseError: as ``connection``.
        """
        with self._lent(autocommit=True) as connection:
            if not self._may_flush(connection):
                with connection.transaction():
                    yield connection
                return
            connection.execute(_BEGIN_UNFLUSHED)
            yield connection
            connection.commit()
            connection.execute(_FLUSH.encode())

    def _may_flush(self, connection: Connection) -> bool:
        """Whether this role may write a mark; nearly each may."""
        if self._can_flush is None:
            try:
                connection.execute(_FLUSH.encode())
                self._can_flush = True
            except psycopg.errors.InsufficientPrivilege:
                self._can_flush = False
        return self._can_flush

    @contextlib.contextmanager
    def _lent(self, *, autocommit: bool) -> Iterator[Connection]:
        if not self._slots.acquire(timeout=self._settings.connect_timeout):
            raise DatabaseUnavailable(
                f"all {self._settings.max_connections} connections to {self.address.label} are busy",
                hint="raise database.max_connections",
            )
        try:
            with translated(self.address.label):
                connection = self._take() or self._open(autocommit=False)
                try:
                    if connection.autocommit != autocommit:
                        connection.autocommit = autocommit
                    yield connection
                    connection.commit()
                except BaseException as error:
                    self._undo(connection, error)
                    raise
                finally:
                    self._give_back(connection)
        finally:
            self._slots.release()

    def connect(self, *, autocommit: bool = False, statement_timeout: float = 0) -> Connection:
        """Open a connection outside the pool, for LISTEN or a session lock; the caller closes it, nobody else does.

        ``statement_timeout`` is in seconds, 0 means none: the server ends a statement that takes longer.

        Raises:
            DatabaseUnavailable: the server can't be reached or lets nobody in.
        """
        with translated(self.address.label):
            connection = self._open(autocommit=True)
            try:
                connection.execute(_KEPT_SESSION, [str(int(statement_timeout * 1000))])
                connection.autocommit = autocommit
            except BaseException:
                connection.close()
                raise
            return connection

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        with self._lock:
            self._closed = True
        self._close_idle()

    def _open(self, *, autocommit: bool) -> Connection:
        connection = psycopg.connect(**self.address.parameters, autocommit=True)
        try:
            connection.execute(_SESSION, [self.address.search_path])
            if self._statement_timeout:
                connection.execute(_STATEMENT_TIMEOUT, [str(int(self._statement_timeout * 1000))])
            connection.autocommit = autocommit
        except BaseException:
            connection.close()
            raise
        return connection

    def _take(self) -> Connection | None:
        """Return the most recently used idle connection that still lives; close those unused for long."""
        self._close_surplus()
        while True:
            with self._lock:
                if not self._idle:
                    return None
                _, connection = self._idle.pop()
            if _alive(connection):
                return connection
            connection.close()

    def _undo(self, connection: Connection, error: BaseException) -> None:
        """Roll back; when the server went away, trust no connection that was opened before."""
        if isinstance(error, psycopg.Error) and is_away(error):
            connection.close()
            self._close_idle()
            return
        with contextlib.suppress(psycopg.Error):
            connection.rollback()

    def _give_back(self, connection: Connection) -> None:
        usable = not connection.closed and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        with self._lock:
            keep = usable and not self._closed
            if keep:
                self._idle.append((time.monotonic(), connection))
        if not keep:
            connection.close()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _close_surplus(self) -> None:
        limit = time.monotonic() - self._settings.idle_timeout
        surplus = []
        with self._lock:
            while len(self._idle) > self._settings.min_connections and self._idle[0][0] < limit:
                surplus.append(self._idle.pop(0)[1])
        for connection in surplus:
            connection.close()


def _alive(connection: Connection) -> bool:
    """Tell without asking the server whether it hung up: an idle connection has nothing else to read."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)
