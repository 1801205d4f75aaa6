"""Attune's executor takes requests from the same broker: nobody places beside it unless told."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pika
import pytest

from agent.mq import topology
from tests.services.deployment import Deployment, running_deployment
from tests.services.server import attune, start_server

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A deployment on RabbitMQ; a consumer of requests stands for the executor."""
    with running_deployment(request, "rabbitmq") as deployment:
        connection = pika.BlockingConnection(pika.URLParameters(deployment.wire.url))
        connection.channel().basic_consume(topology.REQUESTS.name, lambda *_: None)
        try:
            yield deployment
        finally:
            connection.close()


def test_a_second_dispatcher_of_another_make_does_not_start_unless_told(place: Deployment) -> None:
    refused = attune(place.environment, "server", "--host", "127.0.0.1", "--port", "0")
    assert refused.returncode == 2
    assert "Attune's executor places executions here" in refused.stderr
    assert "--only api" in refused.stderr
    for words, settings in ((("--only", "api"), {}), ((), {"ATTUNE__DISPATCHER__BESIDE_EXECUTOR": "true"})):
        server = start_server(place.environment | settings, place.directory / f"server{len(words)}.log", *words)
        assert server.stop() == 0


def test_a_command_leaves_the_placing_to_it(place: Deployment) -> None:
    place.start_agent()
    made = int(attune(place.environment, "run", "core.echo", "--no-wait").stdout)
    assert place.execution(made).status == "requested"
    (request,) = place.messages(made, until="ExecutionRequested")
    assert (request.kind, request.payload["action_ref"]) == ("ExecutionRequested", "core.echo")


def test_while_the_broker_is_away_the_server_starts_and_says_that_it_cannot_tell(place: Deployment) -> None:
    away = {"ATTUNE__MESSAGE_QUEUE__URL": "amqp://guest:guest@127.0.0.1:1/"}
    server = start_server(place.environment | away, place.directory / "away.log")
    try:
        deadline = time.monotonic() + 30
        while "can't tell whether Attune's executor runs" not in server.log():
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.05)
    finally:
        assert server.stop() == 0
