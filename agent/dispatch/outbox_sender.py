"""Sends what transactions have left in the outbox; a message goes when the broker has confirmed it."""

from __future__ import annotations

import logging

from agent.db.pool import Database
from agent.db.queries import load_queries
from agent.mq.broker import Outgoing, Publisher

log = logging.getLogger(__name__)

_CONFIRM_SECONDS = 10.0


class OutboxSender:
    """May run in any number of processes: each takes rows that no other has in hand."""

    def __init__(self, database: Database, publisher: Publisher) -> None:
        """Send through ``publisher``, whose thread somebody else runs."""
        self._database = database
        self._publisher = publisher
        self._sql = {name: text.encode() for name, text in load_queries("agent.dispatch").items()}

    def run_once(self) -> int:
        """Send some; return how many were sent. A crash in between sends them again, with the same ids.

        Raises:
            DatabaseError: nothing was forgotten.
        """
        if not self._publisher.connected:
            return 0
        with self._database.connection() as connection:
            rows = connection.execute(self._sql["take_outbox"]).fetchall()
            if not rows:
                return 0
            self._publisher.send([Outgoing(row[1], row[2], bytes(row[3]), row[4], row[5], row[6]) for row in rows])
            if not self._publisher.flush(_CONFIRM_SECONDS):
                log.warning("%d messages are not confirmed yet and stay in the outbox", len(rows))
                return 0
            connection.execute(self._sql["delete_outbox"], {"ids": [row[0] for row in rows]})
            return len(rows)
