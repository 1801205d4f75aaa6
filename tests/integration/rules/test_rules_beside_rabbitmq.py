"""With RabbitMQ as the broker: what services that listen to it hear of events, rules and the executions that follow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from agent.mq import topology
from tests.integration.rules.conftest import executions, make_rule, make_trigger, outcome, send
from tests.integration.server.conftest import Site, close_site, open_site
from tests.services.deployment import running_deployment

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """One server with the API alone, and one that does nothing but to process events."""
    with running_deployment(request, "rabbitmq") as deployment:
        opened = open_site(deployment, "--only", "api")
        try:
            opened.another_server("--only", "rules")
            yield opened
        finally:
            close_site(opened)


class Heard:
    """Everything that is published to two exchanges, in order."""

    def __init__(self, channel: BlockingChannel) -> None:
        """Bind a queue of one's own."""
        self._channel = channel
        self._queue = channel.queue_declare("", exclusive=True).method.queue
        for exchange in (topology.EVENTS, topology.EXECUTIONS):
            channel.queue_bind(self._queue, exchange, "#")
        self._found: list[tuple[str, str, dict[str, Any]]] = []

    def until(self, enough: Callable[[list[str]], bool]) -> list[tuple[str, str, dict[str, Any]]]:
        """Wait until the types of what was published are enough; return routing keys, types and payloads."""
        deadline = time.monotonic() + 30
        while not enough([kind for _, kind, _ in self._found]):
            assert time.monotonic() < deadline, self._found
            method, _, body = self._channel.basic_get(self._queue, auto_ack=True)
            if method is None:
                self._channel.connection.process_data_events(0.02)
                continue
            document = json.loads(body)
            self._found.append((method.routing_key, document["message_type"], document["payload"]))
        return self._found


@pytest.fixture
def heard(site: Site) -> Iterator[Heard]:
    """What is published while a test runs."""
    connection = pika.BlockingConnection(pika.URLParameters(site.deployment.wire.url))
    yield Heard(connection.channel())
    connection.close()


def test_an_event_and_what_follows_from_it_is_told_once(site: Site, heard: Heard) -> None:
    trigger = make_trigger(site)
    rule = make_rule(site, trigger)
    event = send(site, trigger, {"text": "hello"})
    assert outcome(site, event)["matched"] == 1
    (execution,) = executions(site, event)
    told = heard.until(lambda kinds: "ExecutionRequested" in kinds)
    assert [kind for _, kind, _ in told] == ["RuleCreated", "EventCreated", "ExecutionRequested"]
    by_kind = {kind: (key, payload) for key, kind, payload in told}
    key, payload = by_kind["EventCreated"]
    assert (key, payload["event_id"], payload["trigger_ref"]) == ("event.created", event, trigger)
    assert payload["payload"] == {"text": "hello"}
    key, payload = by_kind["ExecutionRequested"]
    assert (key, payload["execution_id"], payload["action_ref"]) == (
        "execution.requested",
        execution["id"],
        "core.echo",
    )
    assert payload["config"] == {"message": "hello"}
    enforcement = site.admin.get(f"/api/v1/enforcements?event={event}").json()["items"][0]
    assert payload["enforcement_id"] == enforcement["id"]
    assert (enforcement["rule_ref"], enforcement["status"]) == (rule["ref"], "processed")


def test_sensor_services_hear_of_every_change_of_a_rule(site: Site, heard: Heard) -> None:
    trigger, other = make_trigger(site), make_trigger(site)
    rule = make_rule(site, trigger, trigger_params={"path": "/a"})
    path = f"/api/v1/rules/{rule['ref']}"
    site.admin.ok("POST", f"{path}/disable")
    site.admin.ok("POST", f"{path}/enable")
    site.admin.ok("PUT", path, {"trigger_params": {"path": "/b"}})
    site.admin.ok("PUT", path, {"label": "nothing that a sensor is told"})
    site.admin.ok("PUT", path, {"trigger_ref": other})
    site.admin.ok("DELETE", path)
    told = heard.until(lambda kinds: len(kinds) >= 7)
    assert [(key, payload["trigger_ref"], payload.get("trigger_params")) for key, _, payload in told] == [
        ("rule.created", trigger, {"path": "/a"}),
        ("rule.disabled", trigger, None),
        ("rule.enabled", trigger, {"path": "/a"}),
        ("rule.enabled", trigger, {"path": "/b"}),
        ("rule.disabled", trigger, None),
        ("rule.enabled", other, {"path": "/b"}),
        ("rule.disabled", other, None),
    ]
    assert {payload["rule_id"] for _, _, payload in told} == {rule["id"]}
