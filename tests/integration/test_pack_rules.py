"""Rules that packs bring: loaded beside triggers, kept as operators switched them, gone when their file is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.db.pool import Database
from agent.packs.loader import Registration, register
from agent.packs.parser import parse_pack, read_pack
from agent.packs.registered import registered_runtimes
from agent.rules.pack_rules import parse_for_registration
from tests.packs import SHIPPED

RULE = """
ref: watched.on_alert
trigger_ref: core.alert
action_ref: {action}
conditions:
  expression: event.payload.severity == 'critical'
action_params:
  message: "{{{{ event.payload.summary }}}}"
"""


@pytest.fixture
def pack(database: Database, tmp_path: Path) -> Path:
    """A pack with a rule; the core pack is registered."""
    register(database, read_pack(SHIPPED / "core"))
    directory = tmp_path / "watched"
    (directory / "rules").mkdir(parents=True)
    (directory / "pack.yaml").write_text("ref: watched\nname: Watched\nversion: 1.0.0\n")
    (directory / "rules" / "on_alert.yaml").write_text(RULE.format(action="core.echo"))
    return directory


def load(database: Database, directory: Path) -> Registration:
    return register(database, read_pack(directory, registered_runtimes(database)))


def rules(database: Database) -> list[tuple[Any, ...]]:
    with database.connection() as connection:
        return connection.execute(
            "SELECT ref, enabled, action IS NOT NULL, trigger IS NOT NULL, conditions, is_adhoc FROM rule ORDER BY ref"
        ).fetchall()


def change(database: Database, statement: str) -> None:
    with database.connection() as connection:
        connection.execute(statement.encode())


EXPECTED = ("watched.on_alert", True, True, True, {"expression": "event.payload.severity == 'critical'"}, False)


def test_a_rule_is_loaded_kept_as_it_was_switched_and_goes_with_its_file(database: Database, pack: Path) -> None:
    assert ("rule", "watched.on_alert") in load(database, pack).added
    assert rules(database) == [EXPECTED]
    change(database, "UPDATE rule SET enabled = false")
    adhoc = (
        "INSERT INTO rule (ref, pack, pack_ref, label, action_ref, trigger_ref, enabled, is_adhoc)"
        " SELECT 'watched.by_hand', id, ref, 'x', 'core.echo', 'core.alert', true, true FROM pack WHERE ref = 'watched'"
    )
    change(database, adhoc)
    load(database, pack)
    assert [(ref, enabled) for ref, enabled, *_ in rules(database)] == [
        ("watched.by_hand", True),
        ("watched.on_alert", False),
    ]
    (pack / "rules" / "on_alert.yaml").unlink()
    assert [(one.kind, one.ref) for one in load(database, pack).removed] == [("rule", "watched.on_alert")]
    assert [ref for ref, *_ in rules(database)] == ["watched.by_hand"]


def test_a_rule_whose_action_comes_later_is_said_and_linked_then(
    database: Database, pack: Path, tmp_path: Path
) -> None:
    (pack / "rules" / "on_alert.yaml").write_text(RULE.format(action="late.work"))
    notes = load(database, pack).notes
    assert notes == ("rule watched.on_alert names action late.work, which is not registered: it starts nothing",)
    assert rules(database)[0][2] is False
    late = tmp_path / "late"
    (late / "actions").mkdir(parents=True)
    (late / "pack.yaml").write_text("ref: late\nname: Late\nversion: 1.0.0\n")
    (late / "actions" / "work.yaml").write_text("ref: late.work\nrunner_type: shell\nentry_point: echo hi\n")
    load(database, late)
    assert rules(database)[0][2] is True


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ref: watched.x\naction_ref: core.echo\n", "trigger_ref: is missing"),
        ("ref: watched.x\ntrigger_ref: core.alert\n", "action_ref: is missing"),
        ("ref: other.x\ntrigger: core.alert\naction: core.echo\n", "must begin with watched."),
        ("ref: watched.x\ntrigger: core.alert\naction: core.echo\nconditions: 5\n", "comparisons"),
        ("ref: watched.x\ntrigger: core.alert\naction: core.echo\naction_params: [1]\n", "must be a mapping"),
    ],
)
def test_a_file_that_describes_no_rule_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "pack.yaml").write_text("ref: watched\nname: Watched\nversion: 1.0.0\n")
    (tmp_path / "rules" / "x.yaml").write_text(text)
    parsed = parse_pack(tmp_path)
    assert parsed.pack is None
    assert any(says in str(problem) for problem in parsed.problems), parsed.problems


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            "conditions: event.payload.a ==\n",
            "rules/x.yaml:4: conditions.expression: ",
        ),
        ("conditions:\n  expression: system('id')\n", "rules/x.yaml:4: conditions.expression: "),
        (
            "conditions:\n  - {field: a, operator: like, value: 1}\n",
            "rules/x.yaml:4: conditions[0].operator: ",
        ),
        (
            "enabled: true\naction_params:\n  message: '{{ event.nothing.at_all }}'\n",
            "rules/x.yaml:5: action_params.message: ",
        ),
    ],
    ids=["syntax", "function", "operator", "template"],
)
def test_what_a_rule_says_is_read_when_it_is_registered(database: Database, pack: Path, lines: str, says: str) -> None:
    (pack / "rules" / "x.yaml").write_text("ref: watched.x\ntrigger: core.alert\naction: core.echo\n" + lines)
    parsed = parse_for_registration(pack, database)
    assert parsed.pack is None
    (problem,) = map(str, parsed.problems)
    assert problem.startswith(says)
    assert problem.endswith("(rule watched.x)")
    (pack / "rules" / "x.yaml").unlink()
    assert parse_for_registration(pack, database).pack is not None


def test_a_text_alone_is_an_expression(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "pack.yaml").write_text("ref: watched\nname: Watched\nversion: 1.0.0\n")
    (tmp_path / "rules" / "x.yaml").write_text(
        "ref: watched.x\ntrigger: local\naction: work\nconditions: event.payload.a == 1\n"
    )
    (rule,) = read_pack(tmp_path).rules
    assert (rule.trigger, rule.action, rule.conditions) == (
        "watched.local",
        "watched.work",
        {"expression": "event.payload.a == 1"},
    )
