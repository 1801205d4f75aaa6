"""Publish to RabbitMQ with confirmation, many messages in flight, from any thread."""

from __future__ import annotations

import logging
import math
import re
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from pika.exceptions import ChannelClosedByBroker
from pika.spec import Basic

from agent.errors import BrokerUnavailable
from agent.mq.broker import MAX_BACKLOG, Outgoing
from agent.mq.rabbit.address import RabbitAddress
from agent.mq.rabbit.connection import Connection
from agent.mq.rabbit.link import Link

log = logging.getLogger(__name__)

# Enough to hide the round trip; what is in flight is repeated after a loss.
_WINDOW = 1000
_NACK_PAUSE_SECONDS = 1.0
#: How RabbitMQ says that a message is larger than its ``max_message_size`` when it closes the channel.
_TOO_LARGE = re.compile(r"larger than configured max size (\d+)")


class RabbitPublisher(Link):
    """See ``broker.Publisher``. Each message has a serial number; it leaves the books when it is confirmed."""

    def __init__(self, address: RabbitAddress, *, name: str) -> None:
        """Prepare; ``run`` connects."""
        super().__init__(address, name=name)
        self._books = threading.Condition()
        self._waiting: deque[tuple[int, Outgoing]] = deque()
        self._in_flight: dict[int, tuple[int, Outgoing]] = {}
        self._refused: dict[int, Outgoing] = {}
        self._serial = 0
        self._tag = 0
        self._wakened = False
        #: Bytes that the broker takes at most, as far as it has said.
        self._largest = math.inf

    @property
    def backlog(self) -> int:
        """How many messages wait for confirmation."""
        return len(self._waiting) + len(self._in_flight) + len(self._refused)

    @property
    def oldest(self) -> int | None:
        """The timestamp of the message that has waited longest."""
        with self._books:
            waiting = (*self._waiting, *self._in_flight.values(), *self._refused.items())
            return min(waiting, key=lambda entry: entry[0])[1].timestamp if waiting else None

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Queue messages, and send them here and now if the connection's own thread is only waiting."""
        with self._books:
            if self.backlog + len(messages) > MAX_BACKLOG:
                raise BrokerUnavailable(f"{self.backlog} messages wait for RabbitMQ at {self._address.label}")
            for message in messages:
                self._serial += 1
                self._waiting.append((self._serial, message))
        if not self._wakened:
            self._wakened = True
            self._now_or_soon(self._wake)

    def flush(self, timeout: float) -> bool:
        """Wait until everything sent so far is confirmed."""
        with self._books:
            target = self._serial
            return self._books.wait_for(lambda: self._oldest() > target, timeout)

    def _oldest(self) -> int:
        """Serial number of the oldest message that isn't confirmed."""
        candidates = [self._serial + 1]
        if self._waiting:
            candidates.append(self._waiting[0][0])
        if self._in_flight:
            candidates.append(next(iter(self._in_flight.values()))[0])
        candidates.extend(self._refused)
        return min(candidates)

    def _wake(self) -> None:
        self._wakened = False
        self._pump()

    def _prepare(self, channel: Any) -> None:
        self._tag = 0
        connection = channel.connection
        connection.add_on_connection_blocked_callback(
            lambda *_: log.warning("%s: RabbitMQ blocks publishing", self._name)
        )
        connection.add_on_connection_unblocked_callback(
            lambda *_: log.info("%s: RabbitMQ accepts messages again", self._name)
        )
        channel.confirm_delivery(self._confirmed, callback=self._ready)

    def _ready(self, _frame: Any) -> None:
        self._report_up()
        self._wake()

    def _pump(self) -> None:
        if self._waiting and self._up and self._connection is not None:
            with self._connection.together():
                self._send_waiting(self._connection, self._channel)

    def _send_waiting(self, connection: Connection, channel: Any) -> None:
        with self._books:
            while self._waiting and channel.is_open and len(self._in_flight) < _WINDOW:
                entry = self._waiting[0]
                if len(entry[1].body) > self._largest:
                    self._give_up(self._waiting.popleft()[1])
                    continue
                connection.publish(channel, entry[1])
                # Afterwards: the broker numbers what it gets, and what can't be framed never gets there.
                self._waiting.popleft()
                self._tag += 1
                self._in_flight[self._tag] = entry

    def _channel_closed(self, channel: Any, why: BaseException) -> None:
        """A message that is too large would be sent again and again, with all that is behind it."""
        if isinstance(why, ChannelClosedByBroker) and (said := _TOO_LARGE.search(why.reply_text)):
            self._largest = int(said[1])
        super()._channel_closed(channel, why)

    def _give_up(self, message: Outgoing) -> None:
        log.error(
            "%s: message %s is not published: it has %d bytes, RabbitMQ takes %d (max_message_size)",
            self._name,
            message.message_id,
            len(message.body),
            self._largest,
        )
        self._books.notify_all()

    def _confirmed(self, frame: Any) -> None:
        """The broker has stored the messages up to a tag, or that one alone, or could not (nack)."""
        method = frame.method
        stored = isinstance(method, Basic.Ack)
        with self._books:
            tags = [method.delivery_tag]
            if method.multiple:
                tags = [tag for tag in self._in_flight if not method.delivery_tag or tag <= method.delivery_tag]
            for tag in tags:
                entry = self._in_flight.pop(tag, None)
                if entry is not None and not stored:
                    self._refused[entry[0]] = entry[1]
            self._books.notify_all()
        if not stored:
            self._loop.call_later(_NACK_PAUSE_SECONDS, self._retry_refused)
        self._pump()
        if self._closing and not self.backlog:
            self._close_when_finished()

    def _retry_refused(self) -> None:
        with self._books:
            self._waiting.extendleft(sorted(self._refused.items(), reverse=True))
            self._refused.clear()
        self._pump()

    def _drop(self) -> None:
        """Put back what was in flight, in order: it is repeated on the next channel."""
        with self._books:
            self._waiting.extendleft(reversed(self._in_flight.values()))
            self._in_flight.clear()

    def _finish(self) -> bool:
        self._pump()
        return not self.backlog
