"""Hear that something is to be placed: a connection of its own that listens, and that knows when it has gone deaf.

It notifies itself now and then. When its own call does not come back, or the connection is lost, it connects again and
wakes at once, because anything may have been missed meanwhile. Nothing depends on it but
speed: rounds also come by time.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable

from agent.db.error_translation import translated
from agent.db.pool import Connection, Database
from agent.db.queries import load_queries
from agent.dispatch.lock_keys import PRESENCE
from agent.errors import DatabaseError

log = logging.getLogger(__name__)

_SELF_CALL, _DEAF_AFTER, _PAUSE = 10.0, 15.0, 1.0
_ENDED = frozenset(("completed", "failed", "cancelled", "timeout", "abandoned"))


class Wakeup:
    """The body of the listening thread, in which its callbacks run. It also shows that a dispatcher runs."""

    def __init__(self, database: Database, wake: Callable[[], None], slot_is_free: Callable[[], None]) -> None:
        """Prepare; ``run`` connects. ``wake``: there may be something to place. ``slot_is_free``: something ended."""
        self._database = database
        self._wake = wake
        self._slot_is_free = slot_is_free
        self._stop = threading.Event()
        self._own = f"server_wakeup_{os.getpid()}"
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
                    log.warning("not listening to the database, rounds come by time only: %s", error)
                away = True
                self._stop.wait(_PAUSE)

    def stop(self) -> None:
        """End ``run`` within a second."""
        self._stop.set()

    def _listen(self, connection: Connection) -> None:
        for channel in ("execution_created", "execution_status_changed", self._own):
            connection.execute(f"LISTEN {channel}".encode())
        # Tried again and again where another holds it alone: nobody does for long.
        connection.execute(load_queries("agent.dispatch")["announce_presence"].encode(), {"space": PRESENCE})
        self.hears.set()
        self._wake()
        heard = called = time.monotonic()
        while not self._stop.is_set():
            for notice in connection.notifies(timeout=1.0, stop_after=1):
                heard = time.monotonic()
                if notice.channel != self._own:
                    self._told(notice.payload)
            now = time.monotonic()
            if now - heard > _DEAF_AFTER:
                raise DatabaseError("the listening connection receives no notifications any more")
            if now - called > _SELF_CALL:
                connection.execute("SELECT pg_notify(%s, '')", [self._own])
                called = now

    def _told(self, payload: str) -> None:
        """Ring for whatever a round can use; what can't be read may be that."""
        try:
            document = json.loads(payload)
        except ValueError:
            document = None
        status = document.get("status") if isinstance(document, dict) else None
        if status in _ENDED:
            self._slot_is_free()
        elif status is None or status == "requested":
            self._wake()
