"""From an event to executions: each rule that matches once, with its parameters; and what keeps the others still."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.rules.conftest import executions, make_rule, make_trigger, outcome, send
from tests.integration.server.conftest import Site

pytestmark = pytest.mark.postgres


def test_an_event_starts_the_action_of_each_rule_that_matches_with_its_parameters(site: Site) -> None:
    trigger = make_trigger(site)
    first = make_rule(site, trigger, conditions={"expression": "event.payload.n > 2"})
    second = make_rule(site, trigger, conditions=[{"field": "text", "operator": "contains", "value": "el"}])
    make_rule(site, trigger, conditions={"expression": "event.payload.n > 3"})
    make_rule(site, trigger, enabled=False)
    event = send(site, trigger, {"n": 3, "text": "hello {{ event.id }}"})
    found = outcome(site, event)
    assert (found["rules"], found["matched"], found["failed"]) == (3, 2, 0)
    started = executions(site, event)
    assert [one["rule_ref"] for one in started] == [first["ref"], second["ref"]]
    # What an event brings stays text: it is not a template again.
    assert [one["config"] for one in started] == [{"message": "hello {{ event.id }}"}] * 2
    assert {one["status"] for one in started} == {"requested"}
    assert {one["executor"] for one in started} == {first["owner_identity"]}


def test_an_event_for_one_rule_starts_no_other_and_for_a_deleted_one_nothing(site: Site) -> None:
    trigger = make_trigger(site)
    rule, other = make_rule(site, trigger), make_rule(site, trigger)
    event = send(site, trigger, {"text": "x"}, trigger_instance_id=f"rule_{rule['id']}")
    outcome(site, event)
    assert [one["rule_ref"] for one in executions(site, event)] == [rule["ref"]]
    site.admin.ok("DELETE", f"/api/v1/rules/{rule['ref']}")
    late = site.admin.post("/api/v1/events", {"trigger_ref": trigger, "trigger_instance_id": f"rule_{rule['id']}"})
    assert late.status_code == 404
    elsewhere = make_trigger(site)
    wrong = {"trigger_ref": elsewhere, "trigger_instance_id": f"rule_{other['id']}"}
    assert site.admin.post("/api/v1/events", wrong).status_code == 404
    # One that was accepted before its rule went.
    site.deployment.database.execute(
        "INSERT INTO event (trigger, trigger_ref, rule_ref) SELECT id, ref, 'core.gone' FROM trigger WHERE ref = %s",
        [trigger],
    )
    orphan = site.deployment.one("SELECT max(id) AS id FROM event")["id"]
    assert "core.gone" in outcome(site, orphan)["note"]
    assert executions(site, orphan) == []


def test_a_disabled_trigger_starts_nothing(site: Site) -> None:
    trigger = make_trigger(site)
    make_rule(site, trigger)
    site.admin.ok("POST", f"/api/v1/triggers/{trigger}/disable")
    event = send(site, trigger, {"text": "x"})
    assert "disabled" in outcome(site, event)["note"]
    assert executions(site, event) == []


@pytest.mark.parametrize(
    ("fields", "stage", "path", "kind", "says"),
    [
        ({"conditions": {"expression": "event.payload.a.b == 1"}}, "condition", "event.payload.a", "null", "no parts"),
        ({"conditions": {"expression": "event.payload.n > 'x'"}}, "condition", "event.payload.n", "number", "string"),
        (
            {"conditions": [{"field": "n.deep", "operator": "equals", "value": 1}]},
            "condition",
            "payload.n",
            "number",
            "no parts",
        ),
    ],
)
def test_a_rule_that_fails_says_where_and_no_other_suffers(
    site: Site, fields: dict[str, Any], stage: str, path: str, kind: str, says: str
) -> None:
    trigger = make_trigger(site)
    failing = make_rule(site, trigger, **fields)
    good = make_rule(site, trigger)
    event = send(site, trigger, {"n": 1, "a": None, "text": "x"})
    found = outcome(site, event)
    assert (found["matched"], found["failed"]) == (2, 1)
    assert [one["rule_ref"] for one in executions(site, event)] == [good["ref"]]
    listed = site.admin.get(f"/api/v1/enforcements?event={event}&rule_ref={failing['ref']}").json()["items"]
    shown = site.admin.ok("GET", f"/api/v1/enforcements/{listed[0]['id']}")
    assert shown["status"] == "disabled"
    assert shown["execution"] is None
    failure = shown["failure"]
    assert (failure["stage"], failure["path"], failure["kind"]) == (stage, path, kind)
    assert failing["ref"] in failure["error"]
    assert says in failure["error"]


def test_a_secret_of_the_pack_goes_only_where_secrets_may_be(site: Site) -> None:
    site.deployment.database.execute(
        'UPDATE pack SET config = config || \'{"token": "hunter2-secret"}\','
        ' conf_schema = \'{"token": {"type": "string", "secret": true}}\' WHERE ref = \'core\''
    )
    trigger = make_trigger(site)
    leaking = make_rule(site, trigger, action_params={"message": "x {{ pack.config.token }}"})
    whole = make_rule(site, trigger, action_params={"message": "{{ pack.config }}"})
    event = send(site, trigger, {"text": "{{ pack.config.token }}"})
    assert outcome(site, event)["failed"] == 2
    assert executions(site, event) == []
    for rule in (leaking, whole):
        listed = site.admin.get(f"/api/v1/enforcements?event={event}&rule_ref={rule['ref']}").json()["items"]
        failure = site.admin.ok("GET", f"/api/v1/enforcements/{listed[0]['id']}")["failure"]
        assert (failure["stage"], failure["kind"]) == ("parameters", "secret")
        assert failure["path"] in ("pack.config.token", "pack.config")
        assert rule["ref"] in failure["error"]
    rows = site.deployment.all("SELECT f.* FROM enforcement f WHERE f.event = %s", [event])
    assert "hunter2-secret" not in str(rows)


def test_a_rule_that_can_not_work_is_refused_when_it_is_saved(site: Site) -> None:
    trigger = make_trigger(site)
    for fields, says in (
        ({"conditions": {"expression": "9**9**9"}}, "syntax"),
        ({"conditions": {"expression": "system('id')"}}, "function"),
        ({"conditions": {"expression": "payload.x"}}, "name"),
        ({"conditions": [{"field": "a"}]}, "comparison"),
        ({"conditions": "true"}, "conditions"),
        ({"action_params": {"message": "{{ keystore.x }}"}}, "begins with"),
        ({"action_params": {"message": 5}}, "message"),
        ({"action_params": {"messag": "x"}}, "messag"),
        ({"ref": "core.Upper"}, "lower case"),
        ({"ref": "other.name"}, "pack"),
    ):
        body = {"ref": "core.refused", "pack_ref": "core", "label": "x", "action_ref": "core.echo"}
        answer = site.admin.post("/api/v1/rules", {**body, "trigger_ref": trigger, **fields})
        assert answer.status_code == 422, (fields, answer.text)
        assert says in answer.json()["error"], answer.text


def test_a_burst_of_changes_is_followed(site: Site) -> None:
    trigger = make_trigger(site)
    rules = [make_rule(site, trigger) for _ in range(100)]
    for rule in rules[:50]:
        site.admin.ok("POST", f"/api/v1/rules/{rule['ref']}/disable")
    for rule in rules[50:75]:
        site.admin.ok("DELETE", f"/api/v1/rules/{rule['ref']}")
    for rule in rules[75:]:
        site.admin.ok("PUT", f"/api/v1/rules/{rule['ref']}", {"action_params": {"message": "changed"}})
    event = send(site, trigger, {"text": "x"})
    assert outcome(site, event)["matched"] == 25
    assert [one["config"] for one in executions(site, event)] == [{"message": "changed"}] * 25


def test_large_and_deep_events(site: Site) -> None:
    trigger = make_trigger(site, out_schema=None)
    make_rule(site, trigger, action_params={"message": "{{ event.payload.text }}"})
    large = send(site, trigger, {"text": "x" * 1_000_000})
    assert outcome(site, large)["matched"] == 1
    assert len(executions(site, large)[0]["config"]["message"]) == 1_000_000
    long_ref = site.admin.post("/api/v1/events", {"trigger_ref": "core." + "x" * 9000})
    assert long_ref.status_code == 422
    deep = b'{"trigger_ref": "' + trigger.encode() + b'", "payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    headers = {"Content-Type": "application/json"}
    answer = site.admin.request("POST", "/api/v1/events", content=deep, headers=headers)
    assert answer.status_code == 400
    assert site.admin.post("/api/v1/events", {"trigger_ref": trigger, "payload": "x" * 3_000_000}).status_code == 413


def test_why_an_event_started_nothing(site: Site) -> None:
    trigger = make_trigger(site)
    event = send(site, trigger, {"text": "x"})
    outcome(site, event)
    said = site.admin.ok("GET", f"/api/v1/events/{event}/explain")
    assert said["sentence"] == f"nothing was started: no rule listens to {trigger}"
    off = make_rule(site, trigger, enabled=False)
    unmet = make_rule(site, trigger, conditions={"expression": "event.payload.text == 'y'"})
    failing = make_rule(site, trigger, conditions={"expression": "event.payload.text > 1"})
    event = send(site, trigger, {"text": "x"})
    outcome(site, event)
    said = site.admin.ok("GET", f"/api/v1/events/{event}/explain")
    by_rule = {one["rule_ref"]: one["outcome"] for one in said["rules"]}
    assert by_rule == {off["ref"]: "disabled", unmet["ref"]: "no_match", failing["ref"]: "failed"}
