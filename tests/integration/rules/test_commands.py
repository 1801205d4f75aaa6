"""`attune rule|trigger|event|sensor`, over the API and on the database: the same words do the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from tests.integration.rules.conftest import make_rule, make_trigger, outcome
from tests.integration.server.conftest import Site
from tests.services.server import attune

pytestmark = pytest.mark.postgres

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture(params=["database", "API"])
def run(request: pytest.FixtureRequest, site: Site) -> Run:
    """Run a command on the deployment, one way or the other."""
    environment = dict(site.environment)
    if request.param == "API":
        environment |= {"ATTUNE_CLI_URL": site.server.url, "ATTUNE_CLI_TOKEN": site.admin.token or ""}
    return lambda *words: attune(environment, *words)


def test_a_rule_is_made_tried_switched_explained_and_deleted(site: Site, run: Run) -> None:
    trigger = make_trigger(site)
    ref = f"core.by_hand_{trigger.partition('.')[2]}"
    made = run(
        "rule", "create", ref, "--trigger", trigger, "--action", "core.echo", "--if", "event.payload.n > 1",
        "--param", "message=Hello {{ event.payload.name }}",
    )  # fmt: skip
    assert made.stdout == f"made rule {ref}, on\n", made.stderr
    assert ref in run("rule", "list", "--trigger", trigger).stdout
    assert "event.payload.n > 1" in run("rule", "show", ref).stdout
    sent = run("event", "send", trigger, '{"n": 2, "name": "Ada"}')
    event = int(sent.stdout)
    assert outcome(site, event)["matched"] == 1
    assert "1 of 1 rules matched" in run("event", "show", str(event)).stdout
    assert "1 rule started something" in run("event", "explain", str(event)).stdout
    assert str(event) in run("event", "list", "--trigger", trigger).stdout
    assert run("rule", "disable", ref).stdout == f"rule {ref} is off\n"
    nothing = int(json.loads(run("event", "send", trigger, '{"n": 2}', "--rule", ref, "--json").stdout)["id"])
    outcome(site, nothing)
    said = run("event", "explain", str(nothing)).stdout
    assert said.startswith("nothing was started")
    assert f"attune rule enable {ref}" in said
    assert json.loads(run("event", "explain", str(nothing), "--json").stdout)["rules"][0]["outcome"] == "disabled"
    assert run("rule", "enable", ref).returncode == 0
    assert run("rule", "delete", ref).stdout == f"deleted rule {ref}\n"
    gone = run("rule", "show", ref)
    assert gone.returncode != 0
    assert f"there is no rule {ref}" in gone.stderr


def test_triggers_and_sensors_are_listed_shown_and_switched(site: Site, run: Run) -> None:
    trigger = make_trigger(site, label="Something happens")
    site.deployment.database.execute(
        "INSERT INTO sensor (ref, label, entrypoint, runtime, runtime_ref, enabled) SELECT 'core.watcher', 'Watches',"
        " 'watch.py', id, ref, true FROM runtime WHERE ref = 'core.python' ON CONFLICT DO NOTHING"
    )
    assert "Something happens" in run("trigger", "list").stdout
    assert run("trigger", "disable", trigger).stdout == f"trigger {trigger} is off\n"
    assert "off" in run("trigger", "show", trigger).stdout
    assert run("trigger", "enable", trigger).returncode == 0
    assert "core.watcher" in run("sensor", "list").stdout
    assert run("sensor", "disable", "core.watcher").stdout == "sensor core.watcher is off\n"
    shown = run("sensor", "show", "core.watcher").stdout
    assert "Watches" in shown
    assert run("sensor", "enable", "core.watcher").returncode == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("rule", "create", "core.x", "--trigger", "core.nothing", "--action", "core.echo"), "no trigger core.nothing"),
        (
            ("rule", "create", "core.x", "--trigger", "core.alert", "--action", "core.echo", "--if", "9**9"),
            "syntax",
        ),
        (
            ("rule", "create", "core.x", "--trigger", "core.alert", "--action", "core.echo", "--param", "x"),
            "name=value",
        ),
        (("trigger", "show", "core.nothing"), "no trigger core.nothing"),
        (("event", "explain", "987654321"), "no event 987654321"),
        (("event", "send", "core.nothing"), "no trigger core.nothing"),
        (("event", "send", "core.alert", "{"), "not JSON"),
    ],
)
def test_what_can_not_be_done_is_a_sentence(run: Run, words: tuple[str, ...], says: str) -> None:
    done = run(*words)
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_event_for_one_rule(site: Site, run: Run) -> None:
    trigger = make_trigger(site)
    rule, _ = make_rule(site, trigger), make_rule(site, trigger)
    event = int(run("event", "send", trigger, '{"text": "x"}', "--rule", rule["ref"]).stdout)
    assert outcome(site, event)["matched"] == 1
    assert run("event", "send", "core.alert", "--rule", rule["ref"]).returncode != 0
