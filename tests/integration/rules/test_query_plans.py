"""How the database finds the rules of an event: by an index, beside ten thousand other rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent.db.pool import Database
from agent.db.queries import load_queries

pytestmark = pytest.mark.postgres

_RULES, _TRIGGERS = 10_000, 100


@pytest.fixture
def many_rules(database: Database) -> Iterator[Any]:
    """A connection to a database with many enabled rules, as many of each trigger."""
    with database.connection() as connection:
        connection.execute("INSERT INTO pack (ref, label, version) VALUES ('many', 'Many', '1.0.0')")
        connection.execute(
            "INSERT INTO trigger (ref, label) SELECT 'many.trigger' || n, 'x' FROM generate_series(1, %s) AS n",
            [_TRIGGERS],
        )
        connection.execute(
            "INSERT INTO rule (ref, pack, pack_ref, label, action_ref, trigger, trigger_ref, enabled)"
            " SELECT 'many.rule' || n, p.id, p.ref, 'x', 'many.none', t.id, t.ref, true"
            "   FROM generate_series(1, %s) AS n"
            "   JOIN trigger t ON t.ref = 'many.trigger' || (1 + n %% %s), pack p WHERE p.ref = 'many'",
            [_RULES, _TRIGGERS],
        )
        connection.execute("ANALYZE rule")
        connection.execute("ANALYZE trigger")
        yield connection


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("rule", ["NULL", "1"], ids=["all rules", "one rule"])
def test_the_rules_of_an_event_are_found_by_an_index(many_rules: Any, mode: str, rule: str) -> None:
    many_rules.execute(f"SET LOCAL plan_cache_mode = {mode}")
    text = load_queries("agent.rules")["rules_of_event"]
    text = text.replace("%(trigger_ref)s", "$1").replace("%(rule)s", "$2").replace("%%", "%")
    many_rules.execute(f"PREPARE looked_at (text, bigint) AS {text.rstrip().rstrip(';')}")
    try:
        (plan,) = many_rules.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE looked_at ('many.trigger7', {rule})"
        ).fetchone()
    finally:
        many_rules.execute("DEALLOCATE looked_at")
    nodes = list(_nodes(plan[0]["Plan"]))
    on_rules = [node for node in nodes if node.get("Relation Name") == "rule"]
    assert on_rules
    assert {node["Node Type"] for node in on_rules} <= {"Index Scan", "Bitmap Heap Scan", "Index Only Scan"}, plan
    # No row of another trigger is looked at.
    read = sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in on_rules)
    assert read <= _RULES / _TRIGGERS


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)
