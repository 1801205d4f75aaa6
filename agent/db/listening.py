"""Hear what the database tells: a connection of its own that listens, and that knows when it has gone deaf.

It notifies itself now and then. When its own call does not come back, or the connection is lost, it connects again,
and who listens has to act at once, because anything may have been missed meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import select
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from psycopg import Notify

from agent.db.clock import DatabaseClock
from agent.db.error_translation import translated
from agent.db.pool import Connection, Database
from agent.errors import DatabaseError

log = logging.getLogger(__name__)

_SELF_CALL, _DEAF_AFTER, _PAUSE = 10.0, 15.0, 1.0
_LOOK_UP_MS = 1000
"""Milliseconds after which a silent connection is left for a moment, to see whether it is time to end or to call."""


class Listening(ABC):
    """The body of the listening thread, in which everything else here runs."""

    def __init__(
        self,
        database: Database,
        channels: Sequence[str],
        *,
        subject: str,
        meanwhile: str,
        clock: DatabaseClock | None = None,
    ) -> None:
        """Prepare; ``run`` connects. Logs say what is listened to, and what happens while it is not.

        ``clock`` is told the time now and then, because there is a connection at hand.
        """
        self._database = database
        self._channels = tuple(channels)
        self._subject = subject
        self._meanwhile = meanwhile
        self.clock = clock or DatabaseClock()
        self._stop = threading.Event()
        self._own = f"server_listener_{os.getpid()}_{secrets.token_hex(4)}"
        self.hears = threading.Event()

    def run(self) -> None:
        """Listen until ``stop``; reconnect for as long as it takes."""
        away = False
        while not self._stop.is_set():
            try:
                with (
                    contextlib.closing(self._database.connect(autocommit=True)) as connection,
                    translated(self._database.address.label),
                ):
                    if away:
                        log.info("listening to %s again", self._subject)
                    away = False
                    self._listen(connection)
            except DatabaseError as error:
                self.hears.clear()
                if not away:
                    log.warning("not listening to %s, %s: %s", self._subject, self._meanwhile, error)
                away = True
                self._stop.wait(_PAUSE)

    def stop(self) -> None:
        """End ``run`` within a second."""
        self._stop.set()

    @abstractmethod
    def connected(self, connection: Connection) -> None:
        """Act on a new connection: anything may have been missed before it. Raises psycopg.Error."""

    @abstractmethod
    def notified(self, connection: Connection, notices: Sequence[Notify]) -> None:
        """Act on what came; on nothing where only our own call did. Raises psycopg.Error."""

    def _listen(self, connection: Connection) -> None:
        for channel in (*self._channels, self._own):
            connection.execute(f"LISTEN {channel}".encode())
        self.connected(connection)
        self.hears.set()
        # psycopg would look up ten times a second while it waits.
        waiting = select.poll()
        waiting.register(connection.fileno(), select.POLLIN)
        heard = called = time.monotonic()
        spoken = True  # what arrived with the answer to a statement is no longer in the socket
        while not self._stop.is_set():
            waiting.poll(0 if spoken else _LOOK_UP_MS)
            notices = list(connection.notifies(timeout=0))
            spoken = bool(notices)
            if notices:
                heard = time.monotonic()
                self.notified(connection, [notice for notice in notices if notice.channel != self._own])
            now = time.monotonic()
            if now - heard > _DEAF_AFTER:
                raise DatabaseError("the listening connection receives no notifications any more")
            if now - called > _SELF_CALL:
                self._call(connection)
                spoken = True
                called = now

    def _call(self, connection: Connection) -> None:
        """Notify ourselves, and learn what time it is."""
        row = connection.execute(
            "SELECT extract(epoch FROM clock_timestamp())::float8, pg_notify(%s, '')", [self._own]
        ).fetchone()
        assert row is not None, "a SELECT without FROM gives one row"
        self.clock.tell(row[0])


class Listener(Listening):
    """Rings: its callback gets each notification, and None when any may have been missed."""

    def __init__(self, database: Database, channels: Sequence[str], told: Callable[[Notify | None], None]) -> None:
        """Prepare; ``run`` connects."""
        super().__init__(database, channels, subject="the database", meanwhile="changes are found by time only")
        self._told = told

    def prepare(self, connection: Connection) -> None:
        """Do more on each new connection. Raises psycopg.Error."""

    def connected(self, connection: Connection) -> None:
        """Ring, once all is prepared."""
        self.prepare(connection)
        self._told(None)

    def notified(self, connection: Connection, notices: Sequence[Notify]) -> None:
        """Ring for each."""
        for notice in notices:
            self._told(notice)
