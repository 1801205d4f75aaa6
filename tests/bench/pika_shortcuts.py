"""What our use of pika's internals saves: processor time for a message, in interleaved pairs with pika as it comes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pika
from pika.channel import Channel

from agent.mq.broker import Outgoing, Publisher
from agent.mq.connect import open_broker
from agent.mq.rabbit import link
from agent.settings import MessageQueueSettings, Settings
from agent.threads import ThreadGroup

_PAIRS, _MESSAGES, _TOGETHER = 10, 1500, 3


class PlainConnection(pika.SelectConnection):
    """pika's own connection: each frame on its own, when its loop allows it."""

    @contextmanager
    def together(self) -> Iterator[None]:
        """Hold nothing back."""
        yield

    def publish(self, channel: Channel, message: Outgoing) -> None:
        """Let pika make the frames."""
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,
            message_id=message.message_id,
            correlation_id=message.correlation_id,
            timestamp=message.timestamp,
        )
        channel.basic_publish(message.exchange, message.routing_key, message.body, properties)


def saved(broker_url: str) -> float:
    """Return the processor time for a message as a ratio to that with pika's own connection: median of ten pairs."""
    settings = Settings(message_queue=MessageQueueSettings(url=broker_url))
    ours, theirs = link.Connection, PlainConnection
    return statistics.median(_cost(settings, ours) / _cost(settings, theirs) for _ in range(_PAIRS))


def _cost(settings: Settings, connection: type) -> float:
    kept, link.Connection = link.Connection, connection  # type: ignore[misc]
    broker = open_broker(settings, name="bench")
    publisher = broker.publisher()
    threads = ThreadGroup()
    try:
        threads.start("publisher", publisher.run)
        _send(publisher, 30)
        started = time.process_time()
        _send(publisher, _MESSAGES)
        return (time.process_time() - started) / _MESSAGES
    finally:
        publisher.close()
        threads.join(5.0)
        link.Connection = kept  # type: ignore[misc]


def _send(publisher: Publisher, count: int) -> None:
    for first in range(0, count, _TOGETHER):
        publisher.send([_message(first + number) for number in range(_TOGETHER)])
        publisher.flush(10.0)


def _message(number: int) -> Outgoing:
    name = f"00000000-0000-4000-8000-{number:012d}"
    return Outgoing("attune.events", "bench", b"{}" * 150, name, name, int(time.time()))
