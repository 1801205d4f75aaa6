"""The rule processor is killed, doubled, overtaken and told twice: each rule has each event once, whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from agent.configuration import load_settings
from agent.control.outbox import Outbox
from agent.db.pool import Database
from agent.rules.processor import RuleProcessor
from tests.integration.rules.conftest import executions, make_rule, make_trigger, outcome, send
from tests.integration.server.conftest import Site, close_site, open_site
from tests.services.agent_process import ROOT
from tests.services.deployment import running_deployment

pytestmark = pytest.mark.postgres

# A processor that ends without a word in the step that is named.
CHILD = """
import os, sys
from agent.configuration import load_settings
from agent.control.outbox import Outbox
from agent.db.pool import Database
from agent.rules.processor import RuleProcessor
settings = load_settings(os.environ).settings
def step(name):
    if name == sys.argv[1]:
        os._exit(9)
RuleProcessor(Database(settings.database, application_name="killed"), Outbox(in_database=True), None, step).run_once()
"""


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server without the part that processes events: the tests do that."""
    with running_deployment(request, "database") as deployment:
        opened = open_site(deployment, "--only", "api")
        try:
            yield opened
        finally:
            close_site(opened)


@pytest.fixture(scope="module")
def database(place: Site) -> Iterator[Database]:
    """What processors of this process share."""
    made = Database(load_settings(place.environment).settings.database, application_name="test")
    yield made
    made.close()


@pytest.fixture(scope="module")
def processor(database: Database) -> RuleProcessor:
    """A processor that is run by hand."""
    made = RuleProcessor(database, Outbox(in_database=True), None)
    made.register()
    return made


def drain(processor: RuleProcessor) -> None:
    while processor.run_once().events:
        pass


def enforced(place: Site, event: int) -> list[str]:
    rows = place.deployment.all("SELECT rule_ref FROM enforcement WHERE event = %s ORDER BY id", [event])
    return [str(row["rule_ref"]) for row in rows]


@pytest.mark.parametrize("step", ["event", "enforcement", "execution", "failure", "done", "commit"])
def test_a_processor_that_is_killed_leaves_the_event_to_the_next_one(
    place: Site, processor: RuleProcessor, step: str
) -> None:
    trigger = make_trigger(place)
    good, failing, other = (
        make_rule(place, trigger),
        make_rule(place, trigger, conditions={"expression": "event.payload.text > 1"}),
        make_rule(place, trigger),
    )
    event = send(place, trigger, {"text": "x"})
    killed = subprocess.run(
        [sys.executable, "-c", CHILD, step], env={**os.environ, **place.environment}, cwd=ROOT, timeout=60, check=False
    )
    assert killed.returncode == 9
    assert enforced(place, event) == []
    assert executions(place, event) == []
    drain(processor)
    assert enforced(place, event) == [good["ref"], failing["ref"], other["ref"]]
    assert [one["rule_ref"] for one in executions(place, event)] == [good["ref"], other["ref"]]


def test_two_replicas_and_rules_that_change_have_each_event_once(
    place: Site, database: Database, processor: RuleProcessor
) -> None:
    trigger = make_trigger(place)
    rules = [make_rule(place, trigger) for _ in range(3)]
    events = [send(place, trigger, {"text": str(number)}) for number in range(60)]
    second = RuleProcessor(database, Outbox(in_database=True), None)
    threads = [threading.Thread(target=drain, args=(one,)) for one in (processor, second)]
    for thread in threads:
        thread.start()
    place.admin.ok("POST", f"/api/v1/rules/{rules[1]['ref']}/disable")
    place.admin.ok("DELETE", f"/api/v1/rules/{rules[2]['ref']}")
    for thread in threads:
        thread.join(60)
    drain(processor)
    for event in events:
        found = enforced(place, event)
        assert rules[0]["ref"] in found
        assert len(found) == len(set(found))
        assert [one["rule_ref"] for one in executions(place, event)] == found


def test_an_event_that_is_told_again_starts_nothing_again(place: Site, processor: RuleProcessor) -> None:
    trigger = make_trigger(place)
    make_rule(place, trigger)
    event = send(place, trigger, {"text": "x"})
    drain(processor)
    before = executions(place, event)
    place.deployment.database.execute("UPDATE server_event SET processed = NULL WHERE event = %s", [event])
    drain(processor)
    assert executions(place, event) == before
    assert len(before) == 1


def test_an_event_of_another_service_needs_no_message(place: Site, processor: RuleProcessor) -> None:
    trigger = make_trigger(place)
    rule = make_rule(place, trigger)
    place.deployment.database.execute(
        "INSERT INTO event (trigger, trigger_ref, payload, source_ref) SELECT id, ref, %s::jsonb, %s FROM trigger"
        " WHERE ref = %s",
        ['{"text": "x"}', "s" * 9000, trigger],
    )
    event = int(place.deployment.one("SELECT max(id) AS id FROM event")["id"])
    drain(processor)
    assert enforced(place, event) == [rule["ref"]]


def test_what_another_make_of_processor_has_enforced_is_left_to_it(place: Site, processor: RuleProcessor) -> None:
    trigger = make_trigger(place)
    rule = make_rule(place, trigger)
    event = send(place, trigger, {"text": "x"})
    place.deployment.database.execute(
        "INSERT INTO enforcement (rule, rule_ref, trigger_ref, event, payload) VALUES (%s, %s, %s, %s, '{}')",
        [rule["id"], rule["ref"], trigger, event],
    )
    drain(processor)
    assert enforced(place, event) == [rule["ref"]]
    assert executions(place, event) == []


def test_a_secret_parameter_without_a_key_fails_its_rule_alone(place: Site, processor: RuleProcessor) -> None:
    place.deployment.database.execute(
        'UPDATE action SET param_schema = \'{"message": {"type": "string", "secret": true}}\' WHERE ref = \'core.noop\''
    )
    trigger = make_trigger(place)
    secret = make_rule(place, trigger, action_ref="core.noop")
    good = make_rule(place, trigger)
    gone = make_rule(place, trigger, permission_set_refs=None)
    place.deployment.database.execute("UPDATE rule SET action = NULL WHERE id = %s", [gone["id"]])
    nul = make_rule(place, trigger, action_params={"message": "{{ event.payload.text }}"})
    event = send(place, trigger, {"text": "x"})
    drain(processor)
    assert [one["rule_ref"] for one in executions(place, event)] == [good["ref"], nul["ref"]]
    errors: dict[str, Any] = {
        row["rule_ref"]: row["error"]
        for row in place.deployment.all(
            "SELECT e.rule_ref, f.error FROM server_enforcement f JOIN enforcement e ON e.id = f.enforcement"
            " WHERE e.event = %s",
            [event],
        )
    }
    assert "encryption key" in errors[secret["ref"]]
    assert "deleted" in errors[gone["ref"]]
    assert outcome(place, event)["failed"] == 2
