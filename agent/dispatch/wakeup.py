"""Hear that something is to be placed. Nothing depends on it but speed: rounds also come by time."""

from __future__ import annotations

import json
from collections.abc import Callable

from psycopg import Notify

from agent.db.listening import Listener
from agent.db.pool import Connection, Database
from agent.db.queries import load_queries
from agent.dispatch.lock_keys import PRESENCE

_ENDED = frozenset(("completed", "failed", "cancelled", "timeout", "abandoned"))


class Wakeup(Listener):
    """The body of the listening thread, in which its callbacks run. It also shows that a dispatcher runs."""

    def __init__(self, database: Database, wake: Callable[[], None], slot_is_free: Callable[[], None]) -> None:
        """Prepare; ``run`` connects. ``wake``: there may be something to place. ``slot_is_free``: something ended."""
        super().__init__(database, ("execution_created", "execution_status_changed"), self._ring)
        self._wake = wake
        self._slot_is_free = slot_is_free

    def prepare(self, connection: Connection) -> None:
        """Hold the lock that says: a dispatcher runs; again and again where another has it alone, never for long."""
        connection.execute(load_queries("agent.dispatch")["announce_presence"].encode(), {"space": PRESENCE})

    def _ring(self, notice: Notify | None) -> None:
        """Ring for whatever a round can use; what can't be read may be that."""
        try:
            document = json.loads(notice.payload) if notice else None
        except ValueError:
            document = None
        status = document.get("status") if isinstance(document, dict) else None
        if status in _ENDED:
            self._slot_is_free()
        elif status is None or status == "requested":
            self._wake()
