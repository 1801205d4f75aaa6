"""A connection that is ended before it is up: at once, and without leaving a socket open."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from agent.mq.rabbit.address import rabbit_address
from agent.mq.rabbit.publisher import RabbitPublisher
from agent.threads import ThreadGroup
from tests.services.descriptors import own_sockets
from tests.services.waiting import PATIENCE


@pytest.fixture
def deaf() -> Iterator[socket.socket]:
    """A server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        yield server


def connections_to(server: socket.socket) -> list[tuple[str, int]]:
    """Local addresses of this process's sockets that are connected to ``server``, closed ones aside."""
    sockets = (twin.getsockname() for twin in own_sockets() if twin.family == socket.AF_INET)
    return [address for address in sockets if address != server.getsockname()]


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_an_end_in_the_middle_of_the_handshake_leaves_no_socket_open(deaf: socket.socket, scheme: str) -> None:
    before = connections_to(deaf)
    publisher = RabbitPublisher(rabbit_address(f"{scheme}://u:p@127.0.0.1:{deaf.getsockname()[1]}/"), name="test")
    threads = ThreadGroup()
    threads.start("publisher", publisher.run)
    accepted, _ = deaf.accept()
    with accepted:
        assert accepted.recv(1)  # it has begun to speak, so pika waits for an answer
        publisher.close()
        assert not threads.join(PATIENCE)
    assert connections_to(deaf) == before
