"""Publish to the database broker: what waits goes out in one statement, and is confirmed by its commit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice

from agent.db.pool import Connection, Database
from agent.errors import BrokerUnavailable
from agent.mq.broker import MAX_BACKLOG, Outgoing
from agent.mq.database.declaration import SQL, declare
from agent.mq.database.link import DatabaseLink

_BATCH = 500
_IDLE_SECONDS = 60.0


class DatabasePublisher(DatabaseLink):
    """See ``broker.Publisher``. A batch whose commit is in doubt is published again."""

    def __init__(self, database: Database, *, name: str) -> None:
        """Prepare; ``run`` connects."""
        super().__init__(database, name=name)
        self._books = threading.Condition()
        self._waiting: deque[Outgoing] = deque()
        self._sent = 0
        self._confirmed = 0

    @property
    def backlog(self) -> int:
        """How many messages wait for confirmation."""
        return len(self._waiting)

    @property
    def oldest(self) -> int | None:
        """The timestamp of the message that has waited longest."""
        with self._books:
            return self._waiting[0].timestamp if self._waiting else None

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Queue messages."""
        with self._books:
            if len(self._waiting) + len(messages) > MAX_BACKLOG:
                raise BrokerUnavailable(f"{len(self._waiting)} messages wait for {self._database.address.label}")
            self._waiting.extend(messages)
            self._sent += len(messages)
        self._wake()

    def flush(self, timeout: float) -> bool:
        """Wait until everything sent so far is confirmed."""
        with self._books:
            target = self._sent
            return self._books.wait_for(lambda: self._confirmed >= target, timeout)

    def _enter(self, connection: Connection) -> None:
        declare(connection, ())

    def _work(self, connection: Connection) -> float:
        with self._books:
            batch = list(islice(self._waiting, _BATCH))
        if not batch:
            return _IDLE_SECONDS
        connection.execute(SQL["publish"], _columns(batch))
        with self._books:
            for _ in batch:
                self._waiting.popleft()
            self._confirmed += len(batch)
            self._books.notify_all()
        return 0

    def _finish(self, connection: Connection) -> None:
        while self._work(connection) == 0:
            pass


def _columns(batch: Sequence[Outgoing]) -> dict[str, list[str] | list[bytes] | list[int]]:
    return {
        "exchanges": [message.exchange for message in batch],
        "routing_keys": [message.routing_key for message in batch],
        "bodies": [message.body for message in batch],
        "message_ids": [message.message_id for message in batch],
        "correlation_ids": [message.correlation_id for message in batch],
        "timestamps": [message.timestamp for message in batch],
    }
