"""Parameters: read by their declared type, checked against the schema, all problems at once."""

from __future__ import annotations

from typing import Any

import pytest

from agent.control.parameter_values import ParameterSchema, read_parameters
from agent.errors import UsageError

FLAT = {
    "name": {"type": "string", "required": True},
    "count": {"type": "integer", "default": 3, "minimum": 1, "maximum": 9},
    "ratio": {"type": "number"},
    "loud": {"type": "boolean"},
    "items": {"type": "array"},
    "extra": {"type": "object"},
    "mode": {"type": "string", "enum": ["a", "b"]},
    "token": {"type": "string", "secret": True},
    "free": {"type": "any"},
}
JSON_SCHEMA = {"type": "object", "properties": {"name": {"type": ["string", "null"]}}, "required": ["name"]}


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ({"name": "x"}, []),
        ({}, ["name is required"]),
        ({"name": None}, ["name is required"]),
        ({"name": 1}, ["name must be a string, not an integer"]),
        ({"name": "x", "count": "3"}, ["count must be an integer, not a string"]),
        ({"name": "x", "count": 3.0}, []),
        ({"name": "x", "count": 3.5}, ["count must be an integer, not a number"]),
        ({"name": "x", "count": True}, ["count must be an integer, not a boolean"]),
        ({"name": "x", "count": 0}, ["count must be at least 1"]),
        ({"name": "x", "count": 10}, ["count must be at most 9"]),
        ({"name": "x", "ratio": 1}, []),
        ({"name": "x", "loud": 1}, ["loud must be a boolean, not an integer"]),
        ({"name": "x", "items": {}}, ["items must be an array, not an object"]),
        ({"name": "x", "mode": "c"}, ["mode must be one of a, b"]),
        ({"name": "x", "free": [1]}, []),
        ({"name": "x", "count": None}, []),
    ],
)
def test_each_problem_is_named(given: dict[str, Any], problems: list[str]) -> None:
    assert ParameterSchema.of(FLAT).problems(given) == problems


def test_an_unknown_parameter_is_refused_with_the_known_ones() -> None:
    schema = ParameterSchema.of({"a": {"type": "string"}, "b": {"type": "string"}})
    assert schema.problems({"c": 1}) == ["c is not a parameter of this action (it has a, b)"]


@pytest.mark.parametrize("schema", [None, {}, [], "x", {"properties": {}}])
def test_an_action_that_declares_nothing_refuses_nothing(schema: Any) -> None:
    assert ParameterSchema.of(schema).problems({"any": 1}) == []


def test_a_type_that_is_none_asks_for_nothing() -> None:
    for kind in (["string", {}], [[]], {"a": 1}, 5, [None]):
        assert ParameterSchema.of({"x": {"type": kind}}).problems({"x": "text"}) == []


def test_json_schema_is_understood() -> None:
    schema = ParameterSchema.of(JSON_SCHEMA)
    assert schema.problems({}) == ["name is required"]
    assert schema.problems({"name": 1, "b": 2}) == [
        "name must be a string or null, not an integer",
        "b is not a parameter of this action (it has name)",
    ]
    assert ParameterSchema.of({**JSON_SCHEMA, "additionalProperties": True}).problems({"name": "x", "b": 2}) == []


def test_defaults_fill_what_is_missing_or_null() -> None:
    assert ParameterSchema.of(FLAT).with_defaults({"name": "x", "count": None}) == {"name": "x", "count": 3}


def test_secret_parameters_are_known_by_name() -> None:
    assert ParameterSchema.of(FLAT).secrets == {"token"}


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("name=007", {"name": "007"}),
        ("name=", {"name": ""}),
        ("name=a=b", {"name": "a=b"}),
        ("count=7", {"count": 7}),
        ("ratio=1.5", {"ratio": 1.5}),
        ("loud=TRUE", {"loud": True}),
        ('items=[1, "a"]', {"items": [1, "a"]}),
        ('extra={"a": null}', {"extra": {"a": None}}),
        ("free=12", {"free": "12"}),
        ("unknown=12", {"unknown": "12"}),
    ],
)
def test_a_pair_takes_the_declared_type(pair: str, expected: dict[str, Any]) -> None:
    assert read_parameters([pair], None, ParameterSchema.of(FLAT)) == expected


def test_single_pairs_win_over_the_document() -> None:
    given = read_parameters(["name=pair"], '{"name": "document", "count": 2}', ParameterSchema.of(FLAT))
    assert given == {"name": "pair", "count": 2}


@pytest.mark.parametrize(
    ("pairs", "document", "complaint"),
    [
        (["name"], None, "name=value"),
        (["=x"], None, "name=value"),
        (["count=many"], None, "--param count must be an integer, not 'many'"),
        (["items=a,b"], None, "--param items must be an array"),
        ([], "{", "not valid JSON"),
        ([], "[1]", "must be a JSON object"),
    ],
)
def test_what_cant_be_read_is_a_usage_error(pairs: list[str], document: str | None, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        read_parameters(pairs, document, ParameterSchema.of(FLAT))
