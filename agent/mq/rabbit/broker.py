"""RabbitMQ as the broker."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPConnectionError, AMQPError, ChannelClosedByBroker

from agent.errors import BrokerError
from agent.mq.broker import Consumer, Publisher, Queue, Subscription
from agent.mq.rabbit.address import RabbitAddress, reason, unavailable
from agent.mq.rabbit.consumer import RabbitConsumer
from agent.mq.rabbit.declaration import declare_common, declare_queue
from agent.mq.rabbit.publisher import RabbitPublisher

log = logging.getLogger(__name__)

_NOT_FOUND = 404
"""AMQP 0-9-1, reply codes."""


class RabbitBroker:
    """See ``broker.Broker``."""

    def __init__(self, address: RabbitAddress, *, name: str) -> None:
        """Prepare; ``name`` is the worker's, for operators who look at the server's connections."""
        self._address = address
        self._name = name
        # pika reports each attempt, with tracebacks; what matters is a change, which is logged here.
        logging.getLogger("pika").setLevel(logging.CRITICAL)

    def declare(self, queues: Sequence[Queue]) -> None:
        """Declare the common exchanges and these queues."""
        with self._connection() as connection:
            try:
                declare_common(connection.channel())
            except ChannelClosedByBroker as error:
                # As in a deployment where they exist with other types: what is there is used.
                log.warning("the common exchanges could not be declared: %s", reason(error))
            channel = connection.channel()
            for queue in queues:
                declare_queue(channel, queue)

    def delete(self, queues: Sequence[str], *, unbind: Sequence[Queue] = ()) -> None:
        """Delete queues, and the bindings of others."""
        with self._connection() as connection:
            channel: BlockingChannel = connection.channel()
            for queue in unbind:
                for exchange, key in queue.bindings:
                    channel.queue_unbind(queue.name, exchange, routing_key=key)
            for name in queues:
                channel.queue_delete(name)

    def consumers(self, queue: str) -> int:
        """How many programs consume a queue now."""
        with self._connection() as connection:
            try:
                return int(connection.channel().queue_declare(queue, passive=True).method.consumer_count)
            except ChannelClosedByBroker as error:
                if error.reply_code == _NOT_FOUND:
                    return 0
                raise

    def consumer(self, subscription: Subscription) -> Consumer:
        """A consumer, not yet running."""
        return RabbitConsumer(self._address, subscription, name=f"{self._name} {subscription.tag}")

    def publisher(self) -> Publisher:
        """A publisher, not yet running."""
        return RabbitPublisher(self._address, name=f"{self._name} publisher")

    @contextmanager
    def _connection(self) -> Iterator[pika.BlockingConnection]:
        try:
            connection = pika.BlockingConnection(self._address.parameters(self._name))
        except (AMQPConnectionError, OSError, ValueError) as error:  # the last: reset the moment it was made
            raise unavailable(self._address.label, error) from error
        try:
            yield connection
        except AMQPConnectionError as error:
            raise unavailable(self._address.label, error) from error
        except AMQPError as error:
            raise BrokerError(f"RabbitMQ at {self._address.label} refused: {reason(error)}") from error
        finally:
            with suppress(AMQPError):
                connection.close()
