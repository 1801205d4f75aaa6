"""The three shapes of a condition, and what a rule decides."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from agent.rules.conditions import holds, problem
from agent.rules.decision import decide
from agent.rules.expression.values import ExpressionError
from agent.rules.store import Event, Rule
from tests.unit.rules.test_expression import JSON

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(payload: Any, **fields: Any) -> Event:
    return Event(**{"id": 1, "trigger": 2, "trigger_ref": "core.t", "payload": payload, "created": NOW, "rule": None,
                    "rule_ref": None, "trigger_enabled": True, "out_schema": None, **fields})  # fmt: skip


def rule(**fields: Any) -> Rule:
    return Rule(**{"id": 5, "ref": "core.r", "pack_ref": "core", "trigger_ref": "core.t", "enabled": True,
                   "conditions": [], "action_params": {}, "permission_set_refs": None, "owner_identity": None,
                   "action_ref": "core.echo", "param_schema": None, "pack_config": {}, "pack_schema": None,
                   **fields})  # fmt: skip


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (None, True),
        ({}, True),
        ([], True),
        ("true", False),
        (5, False),
        ({"other": 1}, False),
        ({"expression": "event.payload.a == 1"}, True),
        ({"expression": "event.payload.a"}, True),
        ({"expression": "event.payload.zero"}, False),
        ([{"field": "a", "operator": "equals", "value": 1.0}], True),
        ([{"field": "a", "operator": "equals", "value": "1"}], False),
        ([{"field": "a", "operator": "not_equals", "value": 2}], True),
        ([{"field": "list.0", "operator": "equals", "value": "x"}], True),
        ([{"field": "list", "operator": "contains", "value": "x"}], True),
        ([{"field": "text", "operator": "contains", "value": "el"}], True),
        ([{"field": "a", "operator": "contains", "value": 1}], False),
        ([{"field": "a", "operator": "matches", "value": 1}], False),
        ([{"field": "a", "operator": "equals", "value": 1}, {"field": "a", "operator": "equals", "value": 2}], False),
    ],
)
def test_what_conditions_mean(conditions: Any, expected: bool) -> None:
    payload = {"a": 1, "zero": 0, "list": ["x"], "text": "hello"}
    assert holds(conditions, event(payload).named()) is expected


def test_an_event_without_a_payload_matches() -> None:
    assert holds({"expression": "1 == 2"}, event(None).named())


@pytest.mark.parametrize("field", ["missing", "a.b", "list.7", "list.x"])
def test_a_field_that_is_not_there_fails_and_is_named(field: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        holds([{"field": field, "operator": "equals", "value": 1}], event({"a": 1, "list": ["x"]}).named())
    assert caught.value.path.startswith("payload")


def test_a_failure_names_the_rule_the_path_and_the_type() -> None:
    found = decide(rule(conditions={"expression": "event.payload.a.b"}), event({"a": 1}))
    assert found.matches is None
    assert found.failure is not None
    assert (found.failure.stage, found.failure.path, found.failure.kind) == ("condition", "event.payload.a", "number")
    assert "core.r" in found.failure.error
    leaking = rule(
        action_params={"message": "{{ pack.config.token }}"},
        pack_config={"token": "hunter2"},
        pack_schema={"token": {"type": "string", "secret": True}},
    )
    found = decide(leaking, event({}))
    assert found.failure is not None
    assert (found.failure.stage, found.failure.kind) == ("parameters", "secret")
    assert "hunter2" not in str(found)
    assert decide(rule(action_ref=None), event({})).failure is not None


def test_a_secret_of_the_payload_is_one() -> None:
    secret = {"card": {"type": "string", "secret": True}}
    params = {"message": "{{ event.payload.card }}"}
    assert decide(rule(action_params=params), event({"card": "4111"}, out_schema=secret)).failure is not None
    allowed = rule(action_params=params, param_schema={"message": {"type": "string", "secret": True}})
    assert decide(allowed, event({"card": "4111"}, out_schema=secret)).parameters == {"message": "4111"}


@given(JSON, JSON, JSON)
def test_nothing_that_a_rule_or_an_event_says_makes_a_decision_raise(
    conditions: Any, params: Any, payload: Any
) -> None:
    decide(rule(conditions=conditions, action_params=params), event(payload))
    problem(conditions)
