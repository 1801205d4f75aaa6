"""The server is killed at each step from a request to its completion: what was accepted ends once, whoever is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.server.conftest import Site, close_site, open_site
from tests.services.deployment import Execution, running_deployment
from tests.services.gate import At, held
from tests.services.server import ApiClient
from tests.services.waiting import until

pytestmark = pytest.mark.postgres

SETTINGS = {"ATTUNE__DISPATCHER__WAIT_FOR_WORKER": "0", "ATTUNE__DISPATCHER__MONITOR_INTERVAL": "0.2"}
AT = pytest.mark.parametrize("at", ["statement", "commit"])
EXECUTE = "/api/v1/executions/execute"


class Place:
    """A site whose server is killed and started again; one agent runs, whatever happens to the server."""

    def __init__(self, site: Site) -> None:
        """Register an action that leaves a line for each time it runs."""
        self.site = site
        self.deployment = site.deployment
        self.ran = site.deployment.packs / "ran"
        self.ran.touch()
        script = f'#!/bin/sh\necho "$ATTUNE_EXEC_ID" >> {self.ran}\n'
        site.deployment.add_action("once.count", script)
        site.deployment.add_action("once.fail", script + "exit 3\n", max_retries=1)

    def kill(self) -> None:
        """End the server as a crash would."""
        self.site.servers[-1].kill()

    def restart(self) -> ApiClient:
        """Start its next life; the secret that signs tokens is the same."""
        server = self.site.another_server(**SETTINGS)
        self.site.admin.url = server.url
        return self.site.admin

    def request(self, ref: str = "once.count", **fields: Any) -> int:
        """Ask for an execution, which is accepted."""
        return int(self.site.admin.ok("POST", EXECUTE, {"action_ref": ref, **fields})["id"])

    def ask(self, path: str, body: Any = None, **headers: str) -> threading.Thread:
        """Ask for something that is never answered."""

        def unanswered() -> None:
            with httpx.Client(timeout=60.0, trust_env=False) as http, pytest.raises(httpx.TransportError):
                ApiClient(self.site.admin.url, self.site.admin.token, http).post(path, body, headers=headers)

        thread = threading.Thread(target=unanswered)
        thread.start()
        return thread

    def times(self, execution_id: int) -> int:
        """How often it ran."""
        return self.ran.read_text().split().count(str(execution_id))

    def ended(self, execution_id: int) -> Execution:
        """Wait for the end, and see that it was told once, as it was."""
        row = self.deployment.wait(execution_id)
        told = [one for one in self.deployment.messages(execution_id) if one.kind == "ExecutionCompleted"]
        assert len({one.envelope["message_id"] for one in told}) == 1, told
        assert {one.payload["status"].lower() for one in told} == {row.status}
        return row


@pytest.fixture(scope="module", params=["database", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A deployment for all tests of one broker."""
    with running_deployment(request, request.param) as deployment:
        site = open_site(deployment, **SETTINGS)
        try:
            deployment.start_agent()
            yield Place(site)
        finally:
            close_site(site)


@AT
def test_while_it_accepts_and_the_request_is_sent_again(place: Place, at: At) -> None:
    key = {"Idempotency-Key": f"killed at the {at}"}
    body = {"action_ref": "once.count", "parameters": {"at": at}}
    with held(place.deployment, "INSERT ON execution", at=at) as gate:
        asked = place.ask(EXECUTE, body, **key)
        gate.wait()
        place.kill()
    asked.join()
    client = place.restart()
    again = client.post(EXECUTE, body, headers=key)
    assert again.status_code == 201, again.text
    made = place.deployment.all("SELECT id FROM execution WHERE config ->> 'at' = %s", [at])
    assert [row["id"] for row in made] == [again.json()["data"]["id"]]
    assert place.ended(made[0]["id"]).status == "completed"
    assert place.times(made[0]["id"]) == 1


@AT
def test_while_it_places(place: Place, at: At) -> None:
    """Where the broker is another one, what was committed was not sent yet."""
    with held(place.deployment, "UPDATE ON execution", at=at, when="NEW.status = 'scheduled'") as gate:
        made = place.request()
        gate.wait()
        place.kill()
    place.restart()
    assert place.ended(made).status == "completed"
    assert place.times(made) == 1


@AT
def test_while_it_takes_back(place: Place, at: At) -> None:
    gone = place.deployment.insert(
        "worker", {"name": f"gone-{at}", "worker_type": "local", "worker_role": "action", "status": "inactive"}
    )
    action = place.deployment.one("SELECT id FROM action WHERE ref = 'once.count'")["id"]
    row = {"action": action, "action_ref": "once.count", "config": {}, "status": "scheduled", "worker": gone}
    with held(place.deployment, "UPDATE ON execution", at=at, when="NEW.status = 'requested'") as gate:
        made = place.deployment.insert("execution", row)
        place.request()  # wakes it
        gate.wait()
        place.kill()
    place.restart()
    assert place.ended(made).status == "completed"
    assert place.times(made) == 1


@AT
def test_while_it_fails_what_fits_nobody(place: Place, at: At) -> None:
    with held(place.deployment, "UPDATE ON execution", at=at, when="NEW.status = 'failed'") as gate:
        made = place.request(worker_selector={"nowhere": "at all"})
        gate.wait()
        place.kill()
    place.restart()
    row = place.ended(made)
    assert (row.status, row.result["failed_by"]) == ("failed", "execution_scheduler")


@AT
def test_while_it_tries_again(place: Place, at: At) -> None:
    with held(place.deployment, "INSERT ON execution", at=at, when="NEW.retry_count > 0") as gate:
        first = place.request("once.fail")
        gate.wait()
        place.kill()
    place.restart()
    attempts = "SELECT id FROM execution WHERE original_execution = %s"
    until(lambda: place.deployment.all(attempts, [first]), "the second attempt")
    another = place.request("once.fail")
    until(lambda: place.deployment.all(attempts, [another]), "another's second attempt, which comes later")
    assert len(place.deployment.all(attempts, [first])) == 1
    place.deployment.database.execute("UPDATE server_delay SET not_before = clock_timestamp()")
    (second,) = place.deployment.all(attempts, [first])
    assert place.ended(second["id"]).status == "failed"
    assert (place.times(first), place.times(second["id"])) == (1, 1)


@AT
def test_while_it_cancels_what_has_not_begun(place: Place, at: At) -> None:
    retried = place.request("once.fail")
    later = "SELECT id FROM execution WHERE original_execution = %s"
    until(lambda: place.deployment.all(later, [retried]), "an attempt that waits for its time")
    (made,) = (row["id"] for row in place.deployment.all(later, [retried]))
    with held(place.deployment, "UPDATE ON execution", at=at, when="NEW.status = 'cancelled'") as gate:
        asked = place.ask(f"/api/v1/executions/{made}/cancel")
        gate.wait()
        place.kill()
    asked.join()
    client = place.restart()
    status = client.post(f"/api/v1/executions/{made}/cancel").status_code
    assert status == (200 if at == "statement" else 409)
    assert (place.ended(made).status, place.times(made)) == ("cancelled", 0)


@AT
def test_while_it_cancels_what_runs(place: Place, at: At) -> None:
    made = place.request("core.sleep", parameters={"seconds": 600})
    place.deployment.wait(made, "running")
    with held(place.deployment, "UPDATE ON execution", at=at, when="NEW.status = 'canceling'") as gate:
        asked = place.ask(f"/api/v1/executions/{made}/cancel")
        gate.wait()
        place.kill()
    asked.join()
    client = place.restart()
    if at == "statement":
        client.ok("POST", f"/api/v1/executions/{made}/cancel")
    assert place.ended(made).status == "cancelled"


def test_while_what_it_asked_for_runs(place: Place) -> None:
    made = place.request("core.sleep", parameters={"seconds": 1})
    place.deployment.wait(made, "running")
    place.kill()
    assert place.deployment.wait(made).status == "completed"
    place.restart()
    assert place.ended(made).status == "completed"


@AT
def test_between_sending_a_message_and_forgetting_it(place: Place, at: At) -> None:
    """It is sent again, and is the same."""
    if place.deployment.wire.kind == "database":
        pytest.skip("a message is a row of the transaction that it belongs to")
    with held(place.deployment, "DELETE ON server_outbox", at=at) as gate:
        made = place.request(worker_selector={"nowhere": "at all"})
        gate.wait()
        place.kill()
    place.restart()
    assert place.ended(made).status == "failed"
    until(lambda: not place.deployment.all("SELECT 1 FROM server_outbox"), "an empty outbox")
    told = [one for one in place.deployment.messages(made) if one.kind == "ExecutionCompleted"]
    assert len(told) == (2 if at == "statement" else 1)
    assert len({one.envelope["message_id"] for one in told}) == 1
