"""Reading output: what is found in it, and that no output can do harm."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.execution.outcome.parsing import parse_output
from agent.reading.json_text import DEEPEST as MAXIMUM_DEPTH
from tests.unit.peak_memory import growth

NOTHING = (False, None)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "fmt", "expected"),
    [
        ("anything", "text", NOTHING),
        ('{"a": 1}', "text", NOTHING),
        ("", "json", NOTHING),
        ("  \n ", "yaml", NOTHING),
        (' {"a": 1}\n', "json", (True, {"a": 1})),
        ('{\n "a": 1\n}\n', "json", (True, {"a": 1})),
        ('starting\nworking\n{"a": 1}\n', "json", (True, {"a": 1})),
        ('{"a": 1}\ndone', "json", NOTHING),
        ("not json", "json", NOTHING),
        ("null", "json", (True, None)),
        ("7", "json", (True, 7)),
        ('{"a": NaN}', "json", NOTHING),
        ("-Infinity", "json", NOTHING),
        ("1e999", "json", NOTHING),
        ('{"a": 1}\nlog line\n[2]\n\nnull\n', "jsonl", (True, [{"a": 1}, [2], None])),
        ("no\njson\nhere", "jsonl", NOTHING),
        ('\ufeff{"a":1}\n{"b":2}', "jsonl", (True, [{"a": 1}, {"b": 2}])),
        ('{"a":1}\n\ufeff{"b":2}\r\n', "jsonl", (True, [{"a": 1}, {"b": 2}])),
        ('\ufeff{"a": 1}\n', "json", (True, {"a": 1})),
        ('\n\ufeff {"a": 1}', "json", (True, {"a": 1})),
        ('working\n\ufeff{"a": 1}', "json", (True, {"a": 1})),
        ("\ufeffa: 1\n", "yaml", (True, {"a": 1})),
        ("\ufeff", "yaml", NOTHING),
        ("a: 1\nb:\n  - x\n  - yes\n", "yaml", (True, {"a": 1, "b": ["x", "yes"]})),
        ("plain words", "yaml", (True, "plain words")),
        ("when: 2024-01-31\nat: 12:30:00\n", "yaml", (True, {"when": "2024-01-31", "at": "12:30:00"})),
        ("1: one\ntrue: yes\n", "yaml", (True, {"1": "one", "true": "yes"})),
        (
            "base: &b {x: 1}\nuse: *b\nmerge:\n  <<: *b\n",
            "yaml",
            (True, {"base": {"x": 1}, "use": {"x": 1}, "merge": {"<<": {"x": 1}}}),
        ),
        (
            "[1, -2, +3, 0x1F, 0o17, 1.5, .5, 1e3, .inf, 0b1]",
            "yaml",
            (True, [1, -2, 3, 31, 15, 1.5, 0.5, 1000.0, ".inf", "0b1"]),
        ),
        ("[~, null, '', \"null\", '1', !!str 1]", "yaml", (True, [None, None, "", "null", "1", "1"])),
        ("a: 1\n---\nb: 2\n", "yaml", NOTHING),
        ("# only a comment", "yaml", NOTHING),
        ("a: [1", "yaml", NOTHING),
        ("a: *unknown", "yaml", NOTHING),
        ("&a [*a]", "yaml", NOTHING),
        ("? [a, b]\n: c", "yaml", NOTHING),
        ("{}", "xml", NOTHING),
    ],
)
def test_each_format_finds_its_values(text: str, fmt: str, expected: tuple[bool, Any]) -> None:
    assert parse_output(text, fmt) == expected


def test_yaml_builds_no_objects() -> None:
    assert parse_output("!!python/object/apply:os.system ['true']", "yaml") == (True, ["true"])


@given(json_values)
def test_json_that_an_action_prints_reads_back(value: Any) -> None:
    text = json.dumps(value)
    assert parse_output(text, "json") == (True, value)
    assert parse_output("a line of log\n" + text, "json") == (True, value)


@given(st.lists(json_values, min_size=1, max_size=5))
def test_json_lines_read_back_between_lines_of_log(values: list[Any]) -> None:
    text = "\nlog!\n".join(json.dumps(value) for value in values)
    assert parse_output(text, "jsonl") == (True, values)


@given(json_values)
def test_yaml_reads_the_json_that_it_contains(value: Any) -> None:
    # What YAML does not call printable may only stand there escaped.
    text = json.dumps(value, ensure_ascii=False)
    assume(not set(text) & set("\x85\u2028\u2029"))  # line breaks to YAML, which folds them
    found, read = parse_output(text, "yaml")
    assert not found or read == value
    assert found or not text.isprintable()


@given(st.text(), st.sampled_from(["json", "yaml", "jsonl", "text"]))
def test_no_text_makes_reading_fail_or_gives_what_json_cannot_hold(text: str, fmt: str) -> None:
    found, value = parse_output(text, fmt)
    if found:
        json.dumps(value, allow_nan=False)


@given(st.text(st.sampled_from("[]{}:,-?&*!|>'\"#%@` \nab1"), max_size=60))
def test_no_arrangement_of_yaml_signs_makes_reading_fail(text: str) -> None:
    json.dumps(parse_output(text, "yaml")[1], allow_nan=False)


@pytest.mark.parametrize("fmt", ["json", "yaml"])
def test_nesting_is_read_down_to_the_limit_and_refused_below_it(fmt: str) -> None:
    assert parse_output(nested(MAXIMUM_DEPTH), fmt)[0]
    assert parse_output(nested(MAXIMUM_DEPTH + 1), fmt) == NOTHING


def test_brackets_inside_texts_are_no_nesting() -> None:
    value = ["[" * 500, '"' + "{" * 500]
    assert parse_output(json.dumps(value), "json") == (True, value)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, nested(100_000), '{"a":' * 50_000, "- " * 50_000, "? " * 50_000, "{a: " * 50_000, '["' * 10_000],
)
@pytest.mark.parametrize("fmt", ["json", "yaml", "jsonl"])
def test_abysmal_nesting_is_no_value_and_no_crash(text: str, fmt: str) -> None:
    assert parse_output(text, fmt) == NOTHING


def test_aliases_cannot_nest_deeper_than_the_limit() -> None:
    levels = "".join(f"- &a{n} [{'' if n == 0 else f'*a{n - 1}'}]\n" for n in range(MAXIMUM_DEPTH + 1))
    assert parse_output(levels, "yaml") == NOTHING


@pytest.mark.parametrize(
    "bomb",
    [
        "a0: &a0 [x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20)),
        "a: &a " + "x" * 100_000 + "\nb: [" + ", ".join(["*a"] * 1000) + "]\n",
    ],
)
def test_aliases_cannot_blow_a_document_up(bomb: str) -> None:
    assert parse_output(bomb, "yaml") == NOTHING


def test_a_number_with_thousands_of_digits_is_no_value() -> None:
    assert parse_output("9" * 10_000, "json") == NOTHING
    assert parse_output("9" * 10_000, "yaml") == NOTHING


def test_floats_keep_their_value() -> None:
    assert parse_output("[0.1, -1.5e-7]", "json") == (True, [0.1, -1.5e-7])
    assert math.copysign(1, parse_output("-0.0", "json")[1]) == -1


@pytest.mark.parametrize(
    "text", ["0x" + "f" * 6_000, "a: 0x" + "f" * 6_000, "0o" + "7" * 9_000, "9" * 6_000, "- " + "9" * 6_000]
)
def test_a_yaml_number_without_end_is_text_or_no_document(text: str) -> None:
    found, value = parse_output(text, "yaml")
    assert json.dumps(value)
    assert not found or "0x" in str(value) or "0o" in str(value)


@pytest.mark.parametrize(
    ("text", "fmt"),
    [("'{}\\n' * 3_510_000", "jsonl"), ("'[' + '{},' * 3_300_000 + '{}]'", "json"), ("'- {}\\n' * 300_000", "yaml")],
    ids=["jsonl", "json", "yaml"],
)
def test_output_of_more_values_than_anybody_reads_stays_text_and_costs_little(text: str, fmt: str) -> None:
    before = f"from agent.execution.outcome.parsing import parse_output\nparse_output('1', {fmt!r})\ntext = {text}"
    assert growth(before, f"assert parse_output(text, {fmt!r}) == (False, None)") < 60_000_000
