"""Hear what the database tells: a connection of its own that listens, and that knows when it has gone deaf.

It notifies itself now and then. When its own call does not come back, or the connection is lost, it connects again and
rings at once, because anything may have been missed meanwhile. Nothing may depend on it but speed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence

from psycopg import Notify

from agent.db.error_translation import translated
from agent.db.pool import Connection, Database
from agent.errors import DatabaseError

log = logging.getLogger(__name__)

_SELF_CALL, _DEAF_AFTER, _PAUSE = 10.0, 15.0, 1.0


class Listener:
    """The body of the listening thread, in which its callback runs."""

    def __init__(self, database: Database, channels: Sequence[str], told: Callable[[Notify | None], None]) -> None:
        """Prepare; ``run`` connects. ``told`` gets each notification, and None when any may have been missed."""
        self._database = database
        self._channels = tuple(channels)
        self._told = told
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
                        log.info("listening to the database again")
                    away = False
                    self._listen(connection)
            except DatabaseError as error:
                self.hears.clear()
                if not away:
                    log.warning("not listening to the database, changes are found by time only: %s", error)
                away = True
                self._stop.wait(_PAUSE)

    def stop(self) -> None:
        """End ``run`` within a second."""
        self._stop.set()

    def prepare(self, connection: Connection) -> None:
        """Do more on each new connection. Raises psycopg.Error."""

    def _listen(self, connection: Connection) -> None:
        for channel in (*self._channels, self._own):
            connection.execute(f"LISTEN {channel}".encode())
        self.prepare(connection)
        self.hears.set()
        self._told(None)
        heard = called = time.monotonic()
        while not self._stop.is_set():
            for notice in connection.notifies(timeout=1.0, stop_after=1):
                heard = time.monotonic()
                if notice.channel != self._own:
                    self._told(notice)
            now = time.monotonic()
            if now - heard > _DEAF_AFTER:
                raise DatabaseError("the listening connection receives no notifications any more")
            if now - called > _SELF_CALL:
                connection.execute("SELECT pg_notify(%s, '')", [self._own])
                called = now
