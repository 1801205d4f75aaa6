"""The executor's end of each broker, without the agent's code: publish, and look into the executor's queues."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import pika
import pika.exceptions
import psycopg
from pika.adapters.blocking_connection import BlockingChannel

from agent.mq import topology
from agent.mq.broker import Queue
from agent.mq.database.declaration import SQL, declare

#: Sees what the worker publishes in the order of publication, which the executor's own queues can't tell.
OBSERVER = Queue(
    "peer.observer",
    tuple(
        (topology.EXECUTIONS, key)
        for key in (topology.EXECUTION_STATUS_CHANGED, topology.EXECUTION_COMPLETED, topology.EXECUTION_REQUESTED)
    ),
    {},
)
QUEUES = (*topology.EXECUTOR_QUEUES, topology.DEAD_LETTER_QUEUE, OBSERVER)


@dataclass(frozen=True)
class Message:
    """A message as it lay in ``queue``; ``properties`` are AMQP's, as far as the broker has them."""

    queue: str
    exchange: str
    routing_key: str
    body: bytes
    properties: Mapping[str, Any]

    @cached_property
    def envelope(self) -> dict[str, Any]:
        """The decoded body; empty where it is no JSON."""
        try:
            decoded = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return decoded if isinstance(decoded, dict) else {}

    @property
    def kind(self) -> str:
        """The type of the message."""
        return str(self.envelope.get("message_type"))

    @property
    def payload(self) -> dict[str, Any]:
        """What the envelope carries."""
        payload = self.envelope.get("payload")
        return payload if isinstance(payload, dict) else {}


class Wire(Protocol):
    """One broker as the executor sees it."""

    kind: str
    url: str

    def declare(self) -> None:
        """Declare the common exchanges and the executor's queues."""

    def publish(self, exchange: str, routing_key: str, body: bytes, message_id: str) -> None:
        """Publish one message."""

    def collect(self) -> list[Message]:
        """Take everything that waits in the executor's queues and in the observer's."""

    def depth(self, queue: str) -> int:
        """How many messages are ready in a queue."""

    def close(self) -> None:
        """Close the connection."""


class RabbitWire:
    """RabbitMQ through pika; connects again when the broker had been away."""

    kind = "rabbitmq"

    def __init__(self, url: str) -> None:
        """Connect at the first use."""
        self.url = url
        self._channel: BlockingChannel | None = None

    def declare(self) -> None:
        """Declare the common exchanges and the executor's queues."""
        channel = self.channel
        for exchange in topology.EXCHANGES:
            channel.exchange_declare(exchange.name, exchange.kind, durable=True)
        for queue in QUEUES:
            channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
            for exchange_name, key in queue.bindings:
                channel.queue_bind(queue.name, exchange_name, key)

    def publish(self, exchange: str, routing_key: str, body: bytes, message_id: str) -> None:
        """Publish one message as the Rust services do."""
        properties = pika.BasicProperties(delivery_mode=2, content_type="application/json", message_id=message_id)
        self.channel.basic_publish(exchange, routing_key, body, properties)

    def collect(self) -> list[Message]:
        """Take everything that waits."""
        return [message for queue in QUEUES for message in self._drain(queue.name)]

    def depth(self, queue: str) -> int:
        """How many messages are ready in a queue."""
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def close(self) -> None:
        """Close the connection, also one that the broker has ended, whose descriptors are still open."""
        if self._channel is not None:
            with contextlib.suppress(pika.exceptions.AMQPError):
                self._channel.connection.close()
        self._channel = None

    @property
    def channel(self) -> BlockingChannel:
        """An open channel."""
        if self._channel is not None and self._channel.is_open:
            try:
                self._channel.connection.process_data_events(0)
            except pika.exceptions.AMQPError:
                self.close()
        if self._channel is None or not self._channel.is_open:
            self.close()
            parameters = pika.URLParameters(self.url)
            parameters.heartbeat = 0  # nobody serves this connection between two calls
            self._channel = pika.BlockingConnection(parameters).channel()
        return self._channel

    def _drain(self, queue: str) -> list[Message]:
        channel = self.channel
        taken: list[Message] = []
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return taken
            taken.append(Message(queue, method.exchange, method.routing_key, body, vars(properties)))


class DatabaseWire:
    """The queue inside PostgreSQL."""

    kind = "database"
    url = "database"

    def __init__(self, database_url: str, *, schema: str = "attune") -> None:
        """Connect."""
        self._connection = psycopg.connect(database_url, autocommit=True, options=f"-c search_path={schema},public")

    def declare(self) -> None:
        """Declare the common exchanges and the executor's queues."""
        declare(self._connection, QUEUES)

    def publish(self, exchange: str, routing_key: str, body: bytes, message_id: str) -> None:
        """Publish one message."""
        row = {
            "exchanges": [exchange],
            "routing_keys": [routing_key],
            "bodies": [body],
            "message_ids": [message_id],
            "correlation_ids": [message_id],
            "timestamps": [0],
        }
        self._connection.execute(SQL["publish"].encode(), row)

    def collect(self) -> list[Message]:
        """Take everything that waits."""
        rows = self._connection.execute(
            "WITH taken AS (DELETE FROM mq_message WHERE queue = ANY(%s) RETURNING *)"
            " SELECT queue, exchange, routing_key, body, message_id, correlation_id, sent_at FROM taken ORDER BY id",
            [[queue.name for queue in QUEUES]],
        )
        names = ("message_id", "correlation_id", "sent_at")
        return [Message(row[0], row[1], row[2], row[3], dict(zip(names, row[4:], strict=True))) for row in rows]

    def depth(self, queue: str) -> int:
        """How many messages are ready in a queue."""
        row = self._connection.execute(
            "SELECT count(*) FROM mq_message WHERE queue = %s AND session IS NULL", [queue]
        ).fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
