"""Receive from one queue of the database broker and settle what was received."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

from psycopg import sql
from psycopg.rows import class_row

from agent.db.pool import Connection, Database
from agent.mq.broker import Delivery, Subscription
from agent.mq.database.declaration import SQL, declare
from agent.mq.database.link import DatabaseLink

Settlement = Literal["acknowledge", "requeue", "drop"]


class _TakenRow(NamedTuple):
    id: int
    redelivered: bool
    body: bytes


class _NewSession(NamedTuple):
    session: int
    channel: str


# First key of the advisory locks of sessions of release 0.1.0, which knew nothing of schemas: "mqse".
EARLIER_SESSION_LOCK = 0x6D717365


class DatabaseDelivery:
    """One row in hand; a settlement that comes after its session has ended is ignored."""

    __slots__ = ("_consumer", "body", "id", "redelivered", "session")

    def __init__(self, consumer: DatabaseConsumer, session: int, row: int, redelivered: bool, body: bytes) -> None:
        """``row`` is the message's id."""
        self._consumer = consumer
        self.session = session
        self.id = row
        self.redelivered = redelivered
        self.body = body

    def ack(self) -> None:
        """Delete the message."""
        self._consumer.decide([self], "acknowledge")

    def reject(self, *, requeue: bool) -> None:
        """Return the message to its queue or drop it."""
        self._consumer.decide([self], "requeue" if requeue else "drop")


class DatabaseConsumer(DatabaseLink):
    """See ``broker.Consumer``.

    Each connection is a session with a number and an advisory lock of that number: when the connection ends, however
    that happens, the lock goes and any other consumer may release what the session had in hand.
    """

    def __init__(self, database: Database, subscription: Subscription, *, name: str, poll_seconds: float) -> None:
        """Prepare; every ``poll_seconds`` the consumer looks after expired messages and dead sessions."""
        super().__init__(database, name=name)
        self._subscription = subscription
        self._poll_seconds = poll_seconds
        self._next_round = 0.0
        self._session = 0
        self._in_hand: set[int] = set()
        self._decided: deque[tuple[DatabaseDelivery, Settlement]] = deque()
        self._stopped = False
        self._failure: BaseException | None = None

    @property
    def subscribed(self) -> bool:
        """Whether deliveries are being taken now."""
        return self._up and not self._stopped

    def run(self) -> None:
        """Consume until ``close``."""
        super().run()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Take no new deliveries."""
        self._stopped = True
        self._wake()

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge many with one wake-up and one statement."""
        self.decide(cast("Sequence[DatabaseDelivery]", deliveries), "acknowledge")

    def decide(self, deliveries: Sequence[DatabaseDelivery], settlement: Settlement) -> None:
        """Settle deliveries alike."""
        self._decided.extend((delivery, settlement) for delivery in deliveries)
        self._wake()

    def _enter(self, connection: Connection) -> None:
        # A lost acknowledgement means one more delivery, which every consumer expects: no need to wait for the disk.
        connection.execute("SELECT set_config('synchronous_commit', 'off', false)")
        declare(connection, (self._subscription.queue, *self._subscription.also_declare))
        previous = self._session
        cursor = connection.cursor(row_factory=class_row(_NewSession))
        row = cursor.execute(SQL["new_session"], {"queue": self._subscription.queue.name}).fetchone()
        assert row is not None
        self._session = row.session
        connection.execute(SQL["hold_session"], {"earlier": EARLIER_SESSION_LOCK, "session": self._session})
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(row.channel)))
        if previous:
            connection.execute(SQL["release_session"], {"session": previous})
        self._next_round = 0.0

    def _work(self, connection: Connection) -> float:
        self._send_decisions(connection)
        now = time.monotonic()
        if now >= self._next_round:
            self._next_round = now + self._poll_seconds
            self._look_after(connection)
        if self._take(connection):
            return 0
        return max(0.001, self._next_round - time.monotonic())

    def _take(self, connection: Connection) -> bool:
        """Hand over what is ready, up to the prefetch limit; whether there may be more."""
        room = self._subscription.prefetch - len(self._in_hand)
        if self._stopped or room <= 0:
            return False
        values = {"queue": self._subscription.queue.name, "count": room, "session": self._session}
        cursor = connection.cursor(binary=True, row_factory=class_row(_TakenRow))
        rows = cursor.execute(SQL["take"], values).fetchall()
        self._in_hand.update(row.id for row in rows)
        for row in sorted(rows):
            self._hand_over(DatabaseDelivery(self, self._session, row.id, row.redelivered, row.body))
        return len(rows) == room

    def _hand_over(self, delivery: DatabaseDelivery) -> None:
        if self._stopped or self._failure is not None:
            delivery.reject(requeue=True)
            return
        try:
            self._subscription.on_delivery(delivery)
        except Exception as error:  # noqa: BLE001 - must not be taken for a failure of the connection
            self._failure = error
            self._closing.set()

    def _send_decisions(self, connection: Connection) -> None:
        settlements: dict[Settlement, list[int]] = {"acknowledge": [], "requeue": [], "drop": []}
        while self._decided:
            delivery, settlement = self._decided.popleft()
            if delivery.session == self._session and delivery.id in self._in_hand:
                self._in_hand.discard(delivery.id)
                settlements[settlement].append(delivery.id)
        for settlement, ids in settlements.items():
            if ids:
                connection.execute(SQL[settlement], {"ids": ids, "session": self._session})

    def _look_after(self, connection: Connection) -> None:
        """Do what a server would do by itself; also declare again, as somebody may have deleted the queue."""
        if not self._stopped:
            declare(connection, (self._subscription.queue, *self._subscription.also_declare))
        connection.execute(SQL["release_dead_sessions"], {"session": self._session, "earlier": EARLIER_SESSION_LOCK})
        connection.execute(SQL["bury_expired"])

    def _finish(self, connection: Connection) -> None:
        self._send_decisions(connection)
        connection.execute(SQL["release_session"], {"session": self._session})

    def _leave(self) -> None:
        self._in_hand.clear()
        self._decided.clear()
