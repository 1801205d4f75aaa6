"""The servers themselves, past the proxies: what the executor and the API do, and what the harness looks at."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pika
import pika.exceptions
import psycopg

from agent.mq import topology
from tests.services.wire import OBSERVER

#: Seconds that a server may be away.
PATIENCE = 60.0
_OPTIONS = "-c search_path=attune,public -c default_transaction_read_only=off"


class DirectConnections:
    """One database and one virtual host."""

    def __init__(self, database_url: str, amqp_url: str) -> None:
        self.database_url = database_url
        self.amqp_url = amqp_url
        self._channel: Any = None

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement on the server itself; again while it is away."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with psycopg.connect(self.database_url, autocommit=True, options=_OPTIONS) as connection:
                    cursor = connection.execute(statement.encode(), values or None)
                    return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def one(self, statement: str, *values: Any) -> Any:
        """Return the only value."""
        return self.rows(statement, *values)[0][0]

    @property
    def vhost(self) -> str:
        """The name of the virtual host."""
        return self.amqp_url.rpartition("/")[2]

    @property
    def channel(self) -> Any:
        """A channel to the broker itself."""
        deadline = time.monotonic() + PATIENCE
        while self._channel is None or not self._channel.is_open:
            try:
                parameters = pika.URLParameters(self.amqp_url)
                parameters.heartbeat = 0
                self._channel = pika.BlockingConnection(parameters).channel()
                self._channel.confirm_delivery()
            except (pika.exceptions.AMQPError, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        return self._channel

    def publish(self, key: str, kind: str, payload: dict[str, Any]) -> None:
        """Send a message as other programs of a deployment do; again while the broker is away."""
        message_id = str(uuid.uuid4())
        envelope = {"message_id": message_id, "correlation_id": message_id, "message_type": kind, "version": "1.0"}
        envelope |= {"timestamp": now(), "headers": {"retry_count": 0}, "payload": payload}  # type: ignore[dict-item]
        properties = pika.BasicProperties(delivery_mode=2, content_type="application/json", message_id=message_id)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.channel.basic_publish(topology.EXECUTIONS, key, json.dumps(envelope).encode(), properties)
                return
            except (pika.exceptions.AMQPError, OSError):
                self._channel = None
                if time.monotonic() > deadline:
                    raise

    def completions(self) -> list[dict[str, Any]]:
        """Take all completions that were published."""
        found = []
        channel = self.channel
        for method, _, body in channel.consume(OBSERVER.name, auto_ack=True, inactivity_timeout=0.5):
            if method is None:
                break
            envelope = json.loads(body)
            if envelope["message_type"] == "ExecutionCompleted":
                found.append(envelope)
        channel.cancel()
        return found

    def depth(self, queue: str) -> int:
        """How many messages lie in a queue; 0 where there is none."""
        try:
            return int(self.channel.queue_declare(queue, passive=True).method.message_count)
        except pika.exceptions.ChannelClosedByBroker:
            return 0

    def close(self) -> None:
        """Close the connection to the broker."""
        if self._channel is not None:
            with suppress(pika.exceptions.AMQPError, OSError):
                self._channel.connection.close()


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
