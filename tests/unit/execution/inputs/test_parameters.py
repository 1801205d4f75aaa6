"""Parameters: what an action gets, and the document it reads it from."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InvalidExecution
from agent.execution.inputs.parameters import merge_parameters, serialise
from agent.execution.outcome.yaml_document import read_document

LIMIT = 1 << 20
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
objects = st.dictionaries(st.text(), json_values, max_size=5)
printable = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")))


@pytest.mark.parametrize("config", [None, [], "text", 5, True])
def test_a_configuration_that_is_no_object_means_no_parameters(config: Any) -> None:
    assert merge_parameters(config) == {}


@pytest.mark.parametrize(
    "schema",
    [
        {"host": {"type": "string", "default": "db1"}, "keep": {"type": "integer", "default": 3}},
        {"type": "object", "properties": {"host": {"default": "db1"}, "keep": {"default": 3}}},
        {"properties": {"host": {"default": "db1"}, "keep": {"default": 3}}},
    ],
)
def test_defaults_fill_missing_and_null_parameters(schema: dict[str, Any]) -> None:
    assert merge_parameters({"keep": None}, schema) == {"host": "db1", "keep": 3}
    assert merge_parameters({"host": "", "keep": 0}, schema) == {"host": "", "keep": 0}


def test_a_flat_schema_may_have_a_parameter_called_properties() -> None:
    schema = {"properties": {"type": "string", "default": "x"}, "type": {"default": "y"}}
    assert merge_parameters({}, schema) == {"properties": "x", "type": "y"}


def test_a_default_of_null_is_no_default() -> None:
    assert merge_parameters({}, {"a": {"default": None}}) == {}


@pytest.mark.parametrize("schema", [None, [], "x", {"a": "not an object"}, {"a": None}])
def test_odd_schemas_declare_nothing(schema: Any) -> None:
    assert merge_parameters({"b": 1}, schema) == {"b": 1}


def test_secrets_win_over_configuration_and_defaults() -> None:
    merged = merge_parameters({"a": 1, "b": 2}, {"c": {"default": 3}}, {"a": "s", "c": {"deep": True}})
    assert merged == {"a": "s", "b": 2, "c": {"deep": True}}


def test_merging_leaves_the_configuration_as_it_is() -> None:
    config = {"a": None}
    merge_parameters(config, {"a": {"default": 1}}, {"b": 2})
    assert config == {"a": None}


@pytest.mark.parametrize(
    ("fmt", "parameters", "document"),
    [
        ("json", {}, "{}"),
        ("yaml", {}, "{}\n"),
        ("dotenv", {}, ""),
        ("json", {"a": [1, {"b": None}], "ü": "é\n"}, '{"a":[1,{"b":null}],"ü":"é\\n"}'),
        ("yaml", {"b": 1, "a": {"c": [True, None]}}, "b: 1\na:\n  c:\n  - true\n  - null\n"),
        ("yaml", {"ü": "鍵"}, "ü: 鍵\n"),
        ("dotenv", {"b": 1, "a": "x"}, "a='x'\nb='1'"),
    ],
)
def test_each_format_writes_its_document(fmt: str, parameters: dict[str, Any], document: str) -> None:
    assert serialise(parameters, fmt, LIMIT).decode() == document


@given(objects)
def test_json_is_one_line_that_reads_back(parameters: dict[str, Any]) -> None:
    try:
        document = serialise(parameters, "json", LIMIT)
    except InvalidExecution:
        assert any("\ud800" <= char <= "\udfff" for char in json.dumps(parameters, ensure_ascii=False))
        return
    assert b"\n" not in document
    assert json.loads(document) == parameters


@given(
    st.dictionaries(
        printable,
        st.recursive(
            printable | st.integers() | st.booleans() | st.none(),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(printable, inner, max_size=4),
            max_leaves=10,
        ),
        max_size=5,
    )
)
def test_yaml_reads_back_with_yaml_1_1_and_1_2_readers(parameters: dict[str, Any]) -> None:
    document = serialise(parameters, "yaml", LIMIT).decode()
    assert document.endswith("\n")
    assert yaml.safe_load(document) == parameters
    assert read_document(document, maximum_depth=100) == parameters


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "no",
        "on",
        "y",
        "N",
        "null",
        "~",
        "1e3",
        "0o17",
        "0x1f",
        "007",
        "1_000",
        "2020-01-01",
        "12:30:00",
        "<<",
        "=",
        "- a",
        "a: b",
        "",
        " x ",
        "1.",
        "+.5",
        ".inf",
    ],
)
def test_text_that_looks_like_something_else_stays_text_in_yaml(text: str) -> None:
    document = serialise({"v": text}, "yaml", LIMIT).decode()
    assert yaml.safe_load(document) == {"v": text}
    assert read_document(document, maximum_depth=10) == {"v": text}


def test_a_long_text_stays_on_its_line_in_yaml() -> None:
    assert serialise({"v": "word " * 100}, "yaml", LIMIT).count(b"\n") == 1


def test_yaml_repeats_shared_values_instead_of_aliases() -> None:
    shared = [1, 2]
    assert serialise({"a": shared, "b": shared}, "yaml", LIMIT).decode() == "a:\n- 1\n- 2\nb:\n- 1\n- 2\n"


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InvalidExecution, match="'toml'"):
        serialise({}, "toml", LIMIT)


def test_a_document_over_the_limit_is_refused_with_both_sizes() -> None:
    assert len(serialise({"a": "é"}, "json", 10)) == 10
    with pytest.raises(InvalidExecution, match=r"take 11 bytes as json, more than the 10 that"):
        serialise({"a": "éx"}, "json", 10)


@pytest.mark.parametrize("fmt", ["json", "yaml", "dotenv"])
def test_values_that_no_document_can_hold_are_refused_without_quoting_them(fmt: str) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (object(), deep) if fmt == "yaml" else (float("nan"), object(), deep):
        with pytest.raises(InvalidExecution) as caught:
            serialise({"secret": value}, fmt, LIMIT)
        assert "0x" not in str(caught.value)
