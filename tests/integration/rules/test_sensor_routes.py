"""Sensors over the API: made, linked to their triggers, changed and deleted; their logs; and what their tokens open."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agent.access.tokens import Claims, mint
from tests.integration.rules.conftest import executions, make_rule, make_trigger, outcome
from tests.integration.server.conftest import Site, close_site, open_site
from tests.services.deployment import JWT_SECRET, running_deployment
from tests.services.server import ApiClient

pytestmark = pytest.mark.postgres

BOOTSTRAP = "bootstrap-of-the-tests-0123456789"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server that gives tokens to whoever shows the bootstrap token."""
    with running_deployment(request, "database") as deployment:
        opened = open_site(deployment, ATTUNE__AGENT__BOOTSTRAP_TOKEN=BOOTSTRAP)
        try:
            yield opened
        finally:
            close_site(opened)


def make_sensor(site: Site, *triggers: str, **fields: Any) -> dict[str, Any]:
    """Make a sensor that fires some triggers."""
    body = {
        "ref": f"core.sensor{next(_numbers)}",
        "pack_ref": "core",
        "label": "a sensor",
        "entrypoint": "watch.py",
        "runtime_ref": "core.python",
        "trigger_refs": list(triggers),
    }
    found: dict[str, Any] = site.admin.ok("POST", "/api/v1/sensors", {**body, **fields})
    return found


def token_of(site: Site, sensor: dict[str, Any], **more: Any) -> ApiClient:
    """The sensor, with a token that the bootstrap token got for it."""
    body = {"sensor_ref": sensor["ref"], **more}
    shown = {"X-Agent-Token": BOOTSTRAP}
    made = site.admin.as_(None).post("/auth/internal/sensor-token", body, headers=shown)
    assert made.status_code == 200, made.text
    return site.admin.as_(made.json()["data"]["token"])


def test_a_sensor_is_made_linked_changed_and_deleted(site: Site) -> None:
    one, two = make_trigger(site), make_trigger(site)
    made = make_sensor(
        site, one, runtime_version_constraint=">=3.9", config={"reload": "self", "path": "/x"}, log_retention_limit=2
    )
    assert (made["trigger_refs"], made["is_adhoc"], made["processes"]) == ([one], True, [])
    assert made["config"] == {"reload": "self", "path": "/x"}
    path = f"/api/v1/sensors/{made['ref']}"
    changed = site.admin.ok(
        "PUT",
        path,
        {"trigger_refs": [two], "label": "another", "runtime_version_constraint": {"op": "clear"}, "enabled": False},
    )
    assert (changed["trigger_refs"], changed["label"], changed["enabled"]) == ([two], "another", False)
    assert (changed["runtime_version_constraint"], changed["log_retention_limit"]) == (None, 2)
    assert site.admin.ok("GET", f"/api/v1/triggers/{one}")["sensor_ref"] is None
    assert site.admin.request("DELETE", path).status_code == 200
    assert site.admin.get(path).status_code == 404
    assert site.admin.ok("GET", f"/api/v1/triggers/{two}")["sensor_ref"] is None


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("ref", "other.sensor", 422),
        ("entrypoint", "../../etc/passwd", 422),
        ("entrypoint", "/bin/sh", 422),
        ("entrypoint", "https://example.org/x", 422),
        ("runtime_ref", "core.nothing", 404),
        ("runtime_ref", "core.sensor.builtin", 422),
        ("config", {"reload": "sometimes"}, 422),
        ("runtime_version_constraint", "newest please", 422),
        ("trigger_refs", ["core.no_such_trigger"], 404),
        ("trigger_refs", ["core.intervaltimer"], 409),  # the timers' own
        ("log_retention_policy", "forever", 422),
    ],
)
def test_a_sensor_that_could_not_run_is_refused_and_nothing_is_stored(
    site: Site, field: str, value: Any, status: int
) -> None:
    body = {"ref": "core.refused", "pack_ref": "core", "label": "x", "entrypoint": "x.py", "runtime_ref": "core.python"}
    answer = site.admin.post("/api/v1/sensors", {**body, field: value})
    assert answer.status_code == status, answer.text
    assert site.admin.get("/api/v1/sensors/core.refused").status_code == 404


def test_who_may_not_change_triggers_makes_and_changes_no_sensor(site: Site) -> None:
    _, viewer = site.person("core.viewer")
    made = make_sensor(site)
    body = {"ref": "core.x", "pack_ref": "core", "label": "x", "entrypoint": "x.py", "runtime_ref": "core.python"}
    assert viewer.get(f"/api/v1/sensors/{made['ref']}").status_code == 200
    assert viewer.post("/api/v1/sensors", body).status_code == 403
    assert viewer.request("PUT", f"/api/v1/sensors/{made['ref']}", json={"label": "y"}).status_code == 403
    assert viewer.request("DELETE", f"/api/v1/sensors/{made['ref']}").status_code == 403


def test_a_sensor_shows_its_processes_and_where_they_failed(site: Site) -> None:
    made = make_sensor(site)
    site.deployment.database.execute(
        "WITH w AS (INSERT INTO worker (name, worker_type, worker_role, status)"
        " VALUES ('watcher', 'local', 'sensor', 'active') RETURNING id, name)"
        " INSERT INTO sensor_process (sensor, sensor_ref, worker, worker_name, status, consecutive_failures,"
        " last_exit_code, stderr_excerpt, meta)"
        " SELECT %s, %s, id, name, 'backoff', 2, 1, 'boom', '{\"reason\": \"it ended\"}' FROM w",
        [made["id"], made["ref"]],
    )
    (process,) = site.admin.ok("GET", f"/api/v1/sensors/{made['ref']}")["processes"]
    assert (process["status"], process["worker"], process["consecutive_failures"]) == ("backoff", "watcher", 2)
    assert (process["stderr_excerpt"], process["reason"]) == ("boom", "it ended")


def test_the_last_lines_of_a_log_across_its_files(site: Site) -> None:
    made = make_sensor(site)
    ref, name = made["ref"], f"sensor.{made['ref']}.stderr"
    path = f"/api/v1/sensors/{ref}/logs"
    listed = site.admin.get(path).json()
    assert listed["sensor_ref"] == ref
    assert [(log["stream"], log["artifact_id"]) for log in listed["logs"]] == [("stdout", None), ("stderr", None)]
    assert site.admin.get(f"{path}/stderr").status_code == 404
    artifact = site.deployment.insert(
        "artifact", {"ref": name, "scope": "sensor", "owner": ref, "type": "file_text", "retention_limit": 4}
    )
    folder = site.deployment.artifacts / "sensor-logs"
    folder.mkdir(parents=True, exist_ok=True)
    for version, text in enumerate(("one\ntwo\n", "three\nfour\n"), start=1):
        (folder / f"{version}.log").write_text(text)
        values = {"artifact": artifact, "version": version, "file_path": f"sensor-logs/{version}.log"}
        site.deployment.insert("artifact_version", values)
    assert site.admin.get(path).json()["logs"][1] == {
        "stream": "stderr",
        "artifact_ref": name,
        "artifact_id": artifact,
    }
    assert site.admin.get(f"{path}/stderr").text == "one\ntwo\nthree\nfour\n"
    assert site.admin.get(f"{path}/stderr", params={"tail": 3}).text == "two\nthree\nfour\n"
    (folder / "1.log").unlink()
    assert site.admin.get(f"{path}/stderr").text == "three\nfour\n"
    assert site.admin.get(f"{path}/stdin").status_code == 422
    assert site.admin.get(f"{path}/stderr", params={"tail": 0}).status_code in (400, 422)
    _, nobody = site.person(site.permission_set([{"resource": "triggers", "actions": ["read"]}]))
    assert nobody.get(f"{path}/stderr").status_code == 403


def test_the_bootstrap_token_gets_a_token_for_a_sensors_own_triggers_only(site: Site) -> None:
    own, other = make_trigger(site), make_trigger(site)
    sensor = make_sensor(site, own)
    client = token_of(site, sensor)
    assert client.post("/api/v1/events", {"trigger_ref": own}).status_code == 201
    assert client.post("/api/v1/events", {"trigger_ref": other}).status_code == 403
    anybody, shown = site.admin.as_(None), {"X-Agent-Token": BOOTSTRAP}

    def asked(headers: dict[str, Any], **body: Any) -> int:
        return int(anybody.post("/auth/internal/sensor-token", body, headers=headers).status_code)

    assert asked({}, sensor_ref=sensor["ref"]) == 401
    assert asked({"X-Agent-Token": BOOTSTRAP[:-1] + "x"}, sensor_ref=sensor["ref"]) == 401
    assert asked({"X-Agent-Token": b"\xfc"}, sensor_ref=sensor["ref"]) == 401
    assert asked(shown, sensor_ref=sensor["ref"], trigger_types=[other]) == 403
    assert asked(shown, sensor_ref=make_sensor(site)["ref"]) == 403  # it fires nothing
    assert asked(shown, sensor_ref="core.nobody") == 404
    assert asked(shown, sensor_ref=sensor["ref"], ttl_seconds=60) == 422


def test_a_person_gets_a_token_to_try_a_sensor_only_for_what_is_open_to_that_person(site: Site) -> None:
    trigger = make_trigger(site)
    body = {"sensor_ref": make_sensor(site, trigger)["ref"]}
    made = site.admin.ok("POST", "/auth/sensor-token", body)
    assert made["trigger_types"] == [trigger]
    assert site.admin.as_(made["token"]).post("/api/v1/events", {"trigger_ref": trigger}).status_code == 201
    grants = [("events", "create"), ("rules", "read"), ("keys", "read"), ("artifacts", "read")]
    lacking = site.permission_set([{"resource": name, "actions": [action]} for name, action in grants])
    _, person = site.person(lacking)
    refused = person.post("/auth/sensor-token", body)
    assert refused.status_code == 403
    assert "keys:decrypt" in refused.text


def test_a_sensor_has_its_own_keys_and_its_packs_and_no_other(site: Site) -> None:
    sensor, other = make_sensor(site, make_trigger(site)), make_sensor(site)
    client = token_of(site, sensor)
    owners = {
        "mine": {"owner_type": "sensor", "owner_sensor_ref": sensor["ref"]},
        "packs": {"owner_type": "pack", "owner_pack_ref": "core"},
        "others": {"owner_type": "sensor", "owner_sensor_ref": other["ref"]},
        "actions": {"owner_type": "action", "owner_action_ref": "core.echo"},
        "everybodys": {"owner_type": "system"},
    }
    for name, owner in owners.items():
        body = {"ref": name, "name": name, "value": f"value of {name}", "encrypted": True, **owner}
        assert site.admin.post("/api/v1/keys", body).status_code == 201
    refs = {row["ref"]: row["name"] for row in site.admin.ok("GET", "/api/v1/keys")["items"]}
    seen = {row["name"]: row["ref"] for row in client.ok("GET", "/api/v1/keys")["items"]}
    assert set(seen) == {"mine", "packs"}
    for ref in seen.values():
        assert client.ok("GET", f"/api/v1/keys/{ref}")["value"] == f"value of {refs[ref]}"
    for ref, name in refs.items():
        if name not in seen:
            assert client.get(f"/api/v1/keys/{ref}").status_code == 404, name
    mine = f"/api/v1/keys/{seen['mine']}"
    assert client.request("PUT", mine, json={"value": "mine now"}).status_code == 403
    assert client.request("DELETE", mine).status_code == 403


def test_a_sensor_keeps_artifacts_of_its_own_and_sees_no_others(site: Site) -> None:
    sensor = make_sensor(site, make_trigger(site))
    client = token_of(site, sensor)
    own = {"ref": f"state.{sensor['ref']}", "type": "progress", "scope": "sensor", "owner": sensor["ref"]}
    made = client.ok("POST", "/api/v1/artifacts", own)
    assert client.post(f"/api/v1/artifacts/{made['id']}/progress", {"percent": 50}).status_code == 200
    foreign = {**own, "ref": "state.other", "owner": "core.other"}
    assert client.post("/api/v1/artifacts", foreign).status_code == 403
    public = {"ref": "state.public", "scope": "system", "owner": "", "type": "progress", "visibility": "public"}
    assert client.get(f"/api/v1/artifacts/{site.deployment.insert('artifact', public)}").status_code == 404
    assert [row["ref"] for row in client.ok("GET", "/api/v1/artifacts")["items"]] == [own["ref"]]
    assert client.request("DELETE", f"/api/v1/artifacts/{made['id']}").status_code == 403


def test_an_event_is_accepted_once_for_a_key_however_often_and_at_once_it_is_sent(site: Site) -> None:
    trigger = make_trigger(site)
    make_rule(site, trigger, action_params={"message": "once"})
    body = {"trigger_ref": trigger, "payload": {"text": "x"}}
    key = {"Idempotency-Key": f"timer:1:{trigger}"}

    def post(_: int) -> tuple[int, int]:
        answer = site.admin.post("/api/v1/events", body, headers=key)
        return answer.status_code, answer.json()["data"]["id"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(24)))
    (event,) = {event for _, event in answers}
    assert sorted(status for status, _ in answers) == [200] * 23 + [201]
    outcome(site, event)
    assert len(executions(site, event)) == 1
    # Another payload under the key is the same event: a timer that moved to another machine has another clock.
    again = site.admin.post("/api/v1/events", {**body, "payload": {"text": "y"}}, headers=key)
    assert again.json()["data"]["payload"] == {"text": "x"}
    # A key is its sender's.
    may = {"trigger_types": [trigger]}
    claims = Claims(str(somebody_else(site)), "core.x", "sensor", time.time() + 60, "sensor", may)
    other = site.admin.as_(mint(claims, secret=JWT_SECRET, now=time.time()))
    assert other.post("/api/v1/events", body, headers=key).status_code == 201
    refused = site.admin.post("/api/v1/events", body, headers={"Idempotency-Key": "x" * 256})
    assert refused.status_code == 400


def somebody_else(site: Site) -> int:
    """Somebody else's identity."""
    login, _ = site.person()
    return int(site.deployment.one("SELECT id FROM identity WHERE login = %s", [login])["id"])


def test_a_key_whose_event_was_not_accepted_is_free_again(site: Site) -> None:
    trigger, key = make_trigger(site), {"Idempotency-Key": "refused-first"}
    body = {"trigger_ref": trigger, "trigger_instance_id": "rule_987654321"}
    assert site.admin.post("/api/v1/events", body, headers=key).status_code == 404
    del body["trigger_instance_id"]
    assert site.admin.post("/api/v1/events", body, headers=key).status_code == 201
