"""From a sensor to an execution on a worker: with files on a shared volume, and with none that is shared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.environment_site import make_wheel
from tests.integration.sensors.watched import Watched
from tests.integration.server.conftest import close_site
from tests.integration.transport.conftest import Apart, open_apart
from tests.services.deployment import running_deployment
from tests.services.waiting import until

pytestmark = pytest.mark.postgres

#: Sends one event for each of its rules, with what a library of its pack says, then waits.
SENDS = """
import json, os, sys, time, urllib.request
from attune_noticing import noticed

print("sending", flush=True)
for rule in json.loads(os.environ["ATTUNE_SENSOR_TRIGGERS"]):
    body = {
        "trigger_ref": rule["trigger_ref"],
        "trigger_instance_id": f"rule_{rule['id']}",
        "payload": {"seen": noticed(rule["config"]["what"]), "python": sys.version_info[:2]},
    }
    request = urllib.request.Request(
        os.environ["ATTUNE_API_URL"] + "/api/v1/events",
        json.dumps(body).encode(),
        {"Authorization": "Bearer " + os.environ["ATTUNE_API_TOKEN"], "Content-Type": "application/json",
         "Idempotency-Key": f"{rule['id']}-1"},
    )
    print("answered", urllib.request.urlopen(request).status, file=sys.stderr, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def apart(request: pytest.FixtureRequest) -> Iterator[Apart]:
    """A server with packs; services and workers elsewhere."""
    with running_deployment(request, "database") as deployment:
        opened = open_apart(deployment)
        try:
            yield opened
        finally:
            for agent in deployment.agents:
                agent.stop()
            close_site(opened.site)


@pytest.fixture(scope="module")
def pack(apart: Apart) -> str:
    """A pack whose sensor needs a library and a version of Python."""
    deployment = apart.deployment
    deployment.add_sensor("notices.it", SENDS, runtime="core.python", runtime_version_constraint=">=3.8,!=3.9")
    wheels = deployment.packs / "notices" / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "attune_noticing", "1.0", "def noticed(what):\n    return f'noticed {what}'\n")
    deployment.write(
        "notices", "requirements.txt", "--no-index\n--find-links wheels\nattune-noticing==1.0\n", mode=0o644
    )
    deployment.write("notices", "pack.yaml", "ref: notices\nlabel: notices\nversion: 1.0.0\n", mode=0o644)
    apart.add_action("notices.act", "#!/bin/sh\ncat\n", parameter_format="json", output_format="json")
    return "notices"


def ended(apart: Apart, rule: str) -> list[dict[str, Any]]:
    return apart.deployment.all(
        "SELECT e.id, e.status::text AS status, e.result, w.name AS worker FROM execution e"
        "  JOIN enforcement f ON f.id = e.enforcement LEFT JOIN worker w ON w.id = e.worker"
        " WHERE f.rule_ref = %s AND e.status = 'completed'",
        [rule],
    )


@pytest.mark.language("python")
def test_a_python_sensor_with_a_library_and_a_version_starts_an_action_on_a_worker_elsewhere(
    apart: Apart, pack: str
) -> None:
    deployment = apart.deployment
    apart.start_agent("sensors-1", sensors=True, ATTUNE_SENSOR_RUNTIMES="python,builtin")
    apart.start_agent("worker-1")
    deployment.add_rule(
        "notices.rule",
        "notices.it_1",
        "notices.act",
        action=deployment.one("SELECT id FROM action WHERE ref = 'notices.act'")["id"],
        trigger_params={"what": "a change"},
        action_params={"seen": "{{ event.payload.seen }}"},
    )

    until(lambda: ended(apart, "notices.rule"), "the execution")

    (execution,) = ended(apart, "notices.rule")
    assert execution["worker"] == "worker-1"
    assert execution["result"]["data"] == {"seen": "noticed a change"}
    event = deployment.one("SELECT * FROM event WHERE trigger_ref = 'notices.it_1'")
    assert event["source_ref"] == "notices.it"
    assert tuple(event["payload"]["python"]) != (3, 9)
    row = Watched(deployment).wait("notices.it", "running")
    assert row["consecutive_failures"] == 0


@pytest.mark.language("python")
def test_the_logs_of_a_sensor_are_at_the_server_while_it_runs(apart: Apart, pack: str) -> None:
    admin = apart.site.admin

    def tail(stream: str) -> str:
        answer = admin.get(f"/api/v1/sensors/notices.it/logs/{stream}")
        return answer.text if answer.status_code == 200 else ""

    until(lambda: tail("stdout") == "sending\n", "the log at the server")
    until(lambda: tail("stderr") == "answered 201\n", "the other log at the server")
    here = apart.place("sensors-1") / "artifacts" / "sensors" / "notices.it"
    assert list(here.glob("stdout.*.log"))

    apart.deployment.database.execute("UPDATE rule SET enabled = false WHERE ref = 'notices.rule'")
    Watched(apart.deployment).wait("notices.it", "stopped")
    until(lambda: not list(here.glob("*")), "the logs being whole at the server")
    assert tail("stdout") == "sending\n"


def test_a_timer_of_the_core_pack_runs_in_the_service_and_starts_an_action(apart: Apart, pack: str) -> None:
    deployment = apart.deployment
    action = deployment.one("SELECT id FROM action WHERE ref = 'notices.act'")["id"]
    deployment.add_rule(
        "notices.tick",
        "core.intervaltimer",
        "notices.act",
        action=action,
        trigger_params={"interval": 1, "unit": "seconds"},
        action_params={"at": "{{ event.payload.fired_at }}"},
    )

    until(lambda: len(ended(apart, "notices.tick")) >= 2, "two ticks")

    pid = Watched(deployment).row("core.timer_sensor")["pid"]
    deployment.add_rule(
        "notices.tock",
        "core.intervaltimer",
        "notices.act",
        action=action,
        trigger_params={"interval": 1, "unit": "seconds"},
    )
    until(lambda: ended(apart, "notices.tock"), "the other rule's tick")
    assert Watched(deployment).row("core.timer_sensor")["pid"] == pid
    deployment.database.execute("DELETE FROM rule WHERE pack_ref = 'notices'")
    Watched(deployment).wait("core.timer_sensor", "stopped")
