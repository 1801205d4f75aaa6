"""Sends what transactions have left in the outbox; a message goes when the broker has confirmed it.

Every process sends that may leave something there, whether it places executions or not: the API beside another make of
executor has nobody else to do it.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import NamedTuple

from agent.db.named_statements import Statements
from agent.db.pool import Database
from agent.dispatch.ticker import Ticker
from agent.mq.broker import Outgoing, Publisher
from agent.settings import Settings
from agent.threads import ThreadGroup

log = logging.getLogger(__name__)

_CONFIRM_SECONDS, _PAUSE = 10.0, 0.5


class _Kept(NamedTuple):
    id: int
    exchange: str
    routing_key: str
    body: bytes
    message_id: str
    correlation_id: str
    sent_at: int

    def message(self) -> Outgoing:
        return Outgoing(
            self.exchange, self.routing_key, bytes(self.body), self.message_id, self.correlation_id, self.sent_at
        )


class OutboxSender:
    """May run in any number of processes: each takes rows that no other has in hand."""

    def __init__(self, database: Database, publisher: Publisher) -> None:
        """Send through ``publisher``, whose thread somebody else runs."""
        self._database = database
        self._publisher = publisher
        self._sql = Statements("agent.dispatch")

    def run_once(self) -> int:
        """Send some; return how many were sent. A crash in between sends them again, with the same ids.

        Raises:
            DatabaseError: nothing was forgotten.
        """
        if not self._publisher.connected:
            return 0
        with self._database.reading() as connection:
            if not self._sql.value(connection, "outbox_waits"):
                return 0
        with self._database.connection() as connection:
            rows = self._sql.all(connection, _Kept, "take_outbox")
            if not rows:
                return 0
            self._publisher.send([row.message() for row in rows])
            if not self._publisher.flush(_CONFIRM_SECONDS):
                log.warning("%d messages are not confirmed yet and stay in the outbox", len(rows))
                return 0
            self._sql.run(connection, "delete_outbox", {"ids": [row.id for row in rows]})
            return len(rows)


class OutboxThread:
    """The sender as a part of a process, on a connection of its own."""

    def __init__(self, settings: Settings, publisher: Publisher, threads: ThreadGroup) -> None:
        """Prepare; ``publisher`` is running, or will be."""
        pool = dataclasses.replace(settings.database, max_connections=1, min_connections=0)
        self._database = Database(pool, application_name="attune-server outbox")
        self._threads = threads
        sender = OutboxSender(self._database, publisher)
        self._sending = Ticker("sending messages", lambda: 0.0 if sender.run_once() else _PAUSE)

    def start(self) -> None:
        """Start the thread."""
        self._threads.start("outbox", self._sending.run)

    def stop(self) -> None:
        """Send nothing further."""
        self._sending.stop()

    def close(self) -> None:
        """Close the connection, once the thread has ended."""
        self._database.close()
