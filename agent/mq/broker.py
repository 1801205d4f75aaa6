"""What the service asks of a broker, whichever one it is: RabbitMQ or the database queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

# Messages that a publisher keeps while the broker is away. What a worker sends is bounded by the work in its hands, so
# that this is reached only when a broker takes nothing for long and yet delivers (a memory or disk alarm).
MAX_BACKLOG = 50_000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish: already encoded, so that a retry sends identical bytes.

    ``timestamp`` is whole Unix seconds; ids are UUID strings, equal to those in the envelope.
    """

    exchange: str
    routing_key: str
    body: bytes
    message_id: str
    correlation_id: str
    timestamp: int


class Delivery(Protocol):
    """One message that was received. Its methods may be called from any thread; only the first one counts.

    Settling after the connection has gone does nothing: the broker delivers the message again.
    """

    body: bytes
    redelivered: bool

    def ack(self) -> None:
        """Tell the broker that the message is done with."""

    def reject(self, *, requeue: bool) -> None:
        """Return the message to its queue (``requeue``) or drop it (dead-letter where one is declared)."""


class Consumer(Protocol):
    """Receives from one queue in one thread with a connection of its own.

    It reconnects, declares again and subscribes again by itself.
    """

    def run(self) -> None:
        """Consume until ``stop`` was called; the body of the consumer's thread."""

    def stop(self) -> None:
        """Take no new deliveries; give those back that were prefetched and not handed over. From any thread.

        Returns at once: a delivery may still be handed over while it is being carried out. The connection stays up, so
        that deliveries in hand can still be settled.
        """

    def close(self) -> None:
        """Send what was settled, close the connection, end ``run``, within some seconds. From any thread."""

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge many at once, at the cost of one wake-up. From any thread."""

    @property
    def subscribed(self) -> bool:
        """Whether the broker is delivering to this consumer now."""


class Publisher(Protocol):
    """Publishes with confirmation from one thread of its own; order of ``send`` is kept."""

    def run(self) -> None:
        """Publish what is sent until ``close``; the body of the publisher's thread.

        Reconnects by itself and then repeats what was not confirmed, identically and in order.
        """

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Queue messages; returns at once. From any thread.

        Raises BrokerUnavailable, and queues none, when more than ``MAX_BACKLOG`` would wait; none is lost in silence.
        """

    def flush(self, timeout: float) -> bool:
        """Wait until everything sent so far is confirmed; False when ``timeout`` seconds were not enough."""

    def close(self) -> None:
        """End ``run`` after what was sent is confirmed or the broker is away, within some seconds. From any thread."""

    @property
    def connected(self) -> bool:
        """Whether messages can be published now."""

    @property
    def backlog(self) -> int:
        """How many messages wait for their confirmation."""

    @property
    def oldest(self) -> int | None:
        """The timestamp of the message that has waited longest for its confirmation, None when none waits."""


@dataclass(frozen=True)
class Queue:
    """A durable queue with its arguments and bindings ``(exchange, routing key)``."""

    name: str
    bindings: tuple[tuple[str, str], ...]
    arguments: Mapping[str, str | int]


@dataclass(frozen=True)
class Subscription:
    """What one consumer asks for. ``on_delivery`` runs in the consumer's thread and must not block for long.

    ``queue`` and ``also_declare`` are declared (with the common exchanges) each time a connection is made.
    """

    queue: Queue
    tag: str
    prefetch: int
    on_delivery: Callable[[Delivery], None]
    also_declare: tuple[Queue, ...] = ()


class Broker(Protocol):
    """Makes consumers and publishers, declares and removes topology."""

    def declare(self, queues: Sequence[Queue]) -> None:
        """Declare the common exchanges and these queues. Raises BrokerUnavailable, BrokerError."""

    def delete(self, queues: Sequence[str], *, unbind: Sequence[Queue] = ()) -> None:
        """Delete queues that will never be consumed again, and the bindings that ``unbind`` lists, not its queues.

        Raises BrokerUnavailable, BrokerError.
        """

    def consumers(self, queue: str) -> int:
        """How many programs consume a queue now; none where there is no such queue, or where nobody can tell.

        Raises BrokerUnavailable, BrokerError.
        """

    def consumer(self, subscription: Subscription) -> Consumer:
        """A consumer, not yet running."""

    def publisher(self) -> Publisher:
        """A publisher, not yet running."""
