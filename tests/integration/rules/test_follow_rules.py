"""A sensor follows the rules of its trigger by a request that waits; and what its token opens."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from agent.access.tokens import Claims, mint
from tests.integration.rules.conftest import make_rule, make_trigger
from tests.integration.server.conftest import Site
from tests.services.deployment import JWT_SECRET
from tests.services.server import ApiClient

pytestmark = pytest.mark.postgres


def sensor_of(site: Site, *triggers: str) -> ApiClient:
    claims = Claims("1", "core.some_sensor", "sensor", time.time() + 600, "sensor", {"trigger_types": list(triggers)})
    return site.admin.as_(mint(claims, secret=JWT_SECRET, now=time.time()))


def follow(client: ApiClient, trigger: str, version: str | None = None, wait: float = 0) -> dict[str, Any]:
    query = {"wait": wait, **({"version": version} if version else {})}
    answer = client.get(f"/api/v1/triggers/{trigger}/rules", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_change_of_a_rule_ends_the_wait_and_other_requests_go_on_meanwhile(site: Site) -> None:
    trigger, other = make_trigger(site), make_trigger(site)
    sensor = sensor_of(site, trigger, other)
    version = follow(sensor, trigger)["version"]
    answers: list[dict[str, Any]] = []
    # More of them than the server has threads.
    waiting = [
        threading.Thread(target=lambda: answers.append(follow(sensor_of(site, trigger), trigger, version, 25)))
        for _ in range(20)
    ]
    for thread in waiting:
        thread.start()
    make_rule(site, other)
    rule = make_rule(site, trigger)
    for thread in waiting:
        thread.join(20)
    assert [answer["items"][0]["id"] for answer in answers] == [rule["id"]] * 20
    assert "action_params" not in answers[0]["items"][0]
    after = answers[0]["version"]
    for change in ("disable", "enable"):
        site.admin.ok("POST", f"/api/v1/rules/{rule['ref']}/{change}")
        changed = follow(sensor, trigger, after, 20)
        assert changed["version"] != after
        after = changed["version"]
    site.admin.ok("DELETE", f"/api/v1/rules/{rule['ref']}")
    assert follow(sensor, trigger, after, 20)["items"] == []


def test_without_a_change_the_answer_comes_when_the_time_is_over(site: Site) -> None:
    trigger = make_trigger(site)
    sensor = sensor_of(site, trigger)
    version = follow(sensor, trigger)["version"]
    assert follow(sensor, trigger, version, 0.2)["version"] == version


def test_all_rules_come_in_pages(site: Site) -> None:
    trigger = make_trigger(site)
    for _ in range(3):
        make_rule(site, trigger)
    sensor = sensor_of(site, trigger)
    answer = sensor.get(f"/api/v1/triggers/{trigger}/rules", params={"page_size": 2, "page": 2}).json()
    assert (len(answer["items"]), answer["pagination"]["total_items"]) == (1, 3)


def test_a_sensors_token_is_for_its_own_triggers_and_for_little_else(site: Site) -> None:
    trigger, other = make_trigger(site), make_trigger(site)
    sensor = sensor_of(site, trigger)
    assert sensor.post("/api/v1/events", {"trigger_ref": trigger}).status_code == 201
    assert sensor.post("/api/v1/events", {"trigger_ref": other}).status_code == 403
    assert sensor.get(f"/api/v1/triggers/{other}/rules").status_code == 403
    for path in ("/api/v1/rules", "/api/v1/events", "/api/v1/triggers", "/api/v1/executions", "/api/v1/packs"):
        assert sensor.get(path).status_code == 403, path
    _, viewer = site.person("core.viewer")
    assert viewer.post("/api/v1/events", {"trigger_ref": trigger}).status_code == 403
    assert viewer.post("/api/v1/rules", {}).status_code == 403
    rule = make_rule(site, trigger)
    for what in ("enable", "disable"):
        assert viewer.post(f"/api/v1/rules/{rule['ref']}/{what}").status_code == 403
        assert viewer.post(f"/api/v1/triggers/{trigger}/{what}").status_code == 403
    assert viewer.request("DELETE", f"/api/v1/rules/{rule['ref']}").status_code == 403


def test_a_rule_runs_only_what_its_author_may_run(site: Site) -> None:
    trigger = make_trigger(site)
    only_rules = site.permission_set([{"resource": "rules", "actions": ["create", "read"]}])
    _, author = site.person(only_rules)
    body = {
        "ref": "core.not_mine", "pack_ref": "core", "label": "x", "action_ref": "core.echo", "trigger_ref": trigger
    }  # fmt: skip
    assert author.post("/api/v1/rules", body).status_code == 403


def test_a_sensor_exchanges_its_token_for_what_it_still_fires(site: Site) -> None:
    trigger, other = make_trigger(site), make_trigger(site)
    ref = f"core.sensor_{trigger.partition('.')[2]}"
    site.deployment.database.execute(
        "INSERT INTO sensor (ref, label, entrypoint, runtime, runtime_ref, enabled)"
        " SELECT %s, 'x', 'x', id, ref, true FROM runtime WHERE ref = 'core.python'",
        [ref],
    )
    site.deployment.database.execute(
        "UPDATE trigger SET sensor = (SELECT id FROM sensor WHERE ref = %s), sensor_ref = %s WHERE ref = %s",
        [ref, ref, trigger],
    )
    claims = Claims("1", ref, "sensor", time.time() + 600, "sensor", {"trigger_types": [trigger, other]})
    sensor = site.admin.as_(mint(claims, secret=JWT_SECRET, now=time.time()))
    for path in ("/auth/sensor-token", "/api/v1/auth/sensor-token"):
        made = sensor.ok("POST", path)
        assert made["trigger_types"] == [trigger]
        renewed = site.admin.as_(made["token"])
        assert renewed.post("/api/v1/events", {"trigger_ref": trigger}).status_code == 201
        assert renewed.post("/api/v1/events", {"trigger_ref": other}).status_code == 403
    assert sensor_of(site, trigger).post("/auth/sensor-token").status_code in (403, 404)
    assert sensor.post("/auth/sensor-token", {"sensor_ref": "core.other"}).status_code == 403
    assert site.admin.post("/auth/sensor-token").status_code == 422
    body = {"sensor_ref": ref}
    anybody = site.admin.as_(None)
    assert anybody.post("/auth/internal/sensor-token", body).status_code in (401, 503)
    assert anybody.post("/auth/internal/sensor-token", body, headers={"X-Agent-Token": "x"}).status_code in (401, 503)
