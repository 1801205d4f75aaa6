"""Declare exchanges, queues and bindings on a channel of pika, one that waits for replies or one that doesn't."""

from __future__ import annotations

from typing import Any, Protocol

from agent.mq.broker import Queue
from agent.mq.topology import DEAD_LETTER_QUEUE, EXCHANGES


class Channel(Protocol):
    """The methods that pika's blocking and asynchronous channels share; the latter asks for no reply here."""

    def exchange_declare(self, exchange: str, exchange_type: Any, *, durable: bool) -> Any:
        """Declare an exchange."""

    def queue_declare(self, queue: str, *, durable: bool, arguments: dict[str, Any] | None) -> Any:
        """Declare a queue."""

    def queue_bind(self, queue: str, exchange: str, *, routing_key: str | None) -> Any:
        """Bind a queue."""


def declare_common(channel: Channel) -> None:
    """Declare what every service of a deployment declares at its start."""
    for exchange in EXCHANGES:
        channel.exchange_declare(exchange.name, exchange.kind, durable=True)
    declare_queue(channel, DEAD_LETTER_QUEUE)


def declare_queue(channel: Channel, queue: Queue) -> None:
    """Declare one queue and its bindings."""
    channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments) or None)
    for exchange, key in queue.bindings:
        channel.queue_bind(queue.name, exchange, routing_key=key)
