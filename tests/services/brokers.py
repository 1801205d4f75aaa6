"""Both brokers behind one handle: what a test of the protocol needs to know about each, and threads to run them in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import psycopg
import pytest

from agent.mq.broker import Broker, Delivery, Outgoing
from agent.mq.connect import open_broker
from agent.settings import DatabaseSettings, MessageQueueSettings, Settings
from agent.threads import ThreadGroup
from tests.services.rabbitmq import RabbitNode
from tests.services.waiting import PATIENCE
from tests.services.waiting import until as until
from tests.services.wire import DatabaseWire, RabbitWire, Wire


class Part(Protocol):
    """A consumer or a publisher."""

    def run(self) -> None:
        """Work until closed."""

    def close(self) -> None:
        """End."""


@dataclass(frozen=True)
class BrokerCase:
    """One kind of broker: settings that lead to it, and how to cut all connections to it."""

    kind: str
    settings: Settings
    cut: Callable[[], None]

    def open(self, name: str = "tester") -> Broker:
        """Another handle on the same broker; the database looks after expired messages ten times a second."""
        if self.kind == "database":
            from agent.mq.database.broker import DatabaseBroker

            return DatabaseBroker(self.settings.database, name=name, poll_seconds=0.1)
        return open_broker(self.settings, name=name)

    def ready(self, queue: str) -> int:
        """How many messages of a queue nobody has in hand."""
        database, settings = self.kind == "database", self.settings
        wire: Wire = DatabaseWire(settings.database.url) if database else RabbitWire(settings.message_queue.url)
        try:
            return wire.depth(queue)
        finally:
            wire.close()


@pytest.fixture(
    params=[
        pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
        pytest.param("database", marks=pytest.mark.postgres),
    ]
)
def case(request: pytest.FixtureRequest) -> BrokerCase:
    """Each broker in turn, with nothing in it."""
    if request.param == "database":
        url = request.getfixturevalue("database_url")
        settings = Settings(database=DatabaseSettings(url=url), message_queue=MessageQueueSettings(url="database"))
        return BrokerCase("database", settings, lambda: _terminate_backends(url))
    url = request.getfixturevalue("amqp_vhost_url")
    settings = Settings(message_queue=MessageQueueSettings(url=url))
    return BrokerCase("rabbitmq", settings, lambda: _close_connections(request, url.rpartition("/")[2]))


def _terminate_backends(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def _close_connections(request: pytest.FixtureRequest, vhost: str) -> None:
    node: RabbitNode = request.getfixturevalue("rabbit_node")  # skips where the server is not the tests' own
    node.ctl("close_all_connections", "--vhost", vhost, "cut by a test")


class Inbox:
    """Collects deliveries; acknowledges them at once unless told to hold them."""

    def __init__(self, *, hold: bool = False) -> None:
        """Begin empty."""
        self.deliveries: list[Delivery] = []
        self._hold = hold
        self._changed = threading.Condition()

    def __call__(self, delivery: Delivery) -> None:
        """Take one delivery."""
        if not self._hold:
            delivery.ack()
        with self._changed:
            self.deliveries.append(delivery)
            self._changed.notify_all()

    @property
    def bodies(self) -> list[bytes]:
        """What has arrived so far."""
        with self._changed:
            return [delivery.body for delivery in self.deliveries]

    def wait(self, count: int, timeout: float = PATIENCE) -> list[bytes]:
        """Wait for so many deliveries in all and return their bodies."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.deliveries) >= count, timeout)
            assert arrived, f"{len(self.deliveries)} of {count} messages arrived"
        return self.bodies


@contextmanager
def running(*parts: Part) -> Iterator[None]:
    """Run each part in a thread of its own for the length of the block; all must end soon after ``close``."""
    died: list[BaseException] = []
    threads = ThreadGroup(lambda _, error: died.append(error))
    for number, part in enumerate(parts):
        threads.start(f"part-{number}", part.run)
    try:
        yield
    finally:
        for part in parts:
            part.close()
        alive = threads.join(PATIENCE)
    assert not alive
    assert not died


def message(text: str, exchange: str, key: str) -> Outgoing:
    """A message whose body is ``text``."""
    identity = f"00000000-0000-4000-8000-{abs(hash(text)) % 10**12:012d}"
    return Outgoing(exchange, key, text.encode(), identity, identity, 1_770_000_000)


@contextmanager
def publishing(broker: Broker) -> Iterator[Callable[..., None]]:
    """Lend a function that publishes messages and returns when they are confirmed."""
    publisher = broker.publisher()

    def publish(*messages: Outgoing) -> None:
        publisher.send(messages)
        assert publisher.flush(PATIENCE)

    with running(publisher):
        yield publish
        with suppress(AssertionError):
            publisher.flush(1)
