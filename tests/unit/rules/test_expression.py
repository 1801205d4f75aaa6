"""The language of conditions: what it means, and that nothing that is written in it costs much."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rules.expression.evaluation import check, evaluate
from agent.rules.expression.functions import FUNCTIONS
from agent.rules.expression.grammar import parse
from agent.rules.expression.values import ExpressionError, equal, kind_of
from tests.services.waiting import calls
from tests.unit.examples import examples

PAYLOAD: dict[str, Any] = {
    "n": 3,
    "text": "hello",
    "none": None,
    "items": [1, 2, 3],
    "order": 1,
    "in": 4,
    "keys": "data",
    "__proto__": "data",
    "deep": {"a": [{"b": 7}]},
    "bad": "a" * 40 + "!",
}
NAMES = {"event": {"id": 1, "payload": PAYLOAD}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 - 4 / 2", 5),
        ("7 % 4", 3),
        ("7 / 2", 3.5),
        ("2--1", 3),
        ("'a' + \"b\"", "ab"),
        ("event.payload.n >= 3 and not (event.payload.text == 'x')", True),
        ("false or event.payload.n", True),
        ("{{ event.payload.n == 3 }}", True),
        ("event.payload.order + event.payload.in", 5),
        ("event.payload.keys", "data"),
        ("event.payload.__proto__", "data"),
        ("event.payload['deep'].a[0].b", 7),
        ("event.payload.items[-1]", 3),
        ("event.payload.items[9]", None),
        ("event.payload.missing", None),
        ("event.__class__", None),
        ("2 in event.payload.items", True),
        ("'n' in event.payload", True),
        ("9 not in event.payload.items", True),
        ("1 == 1.0", True),
        ("'1' == 1", False),
        ("true == 1", False),
        ("[1, [2]] == [1.0, [2]]", True),
        ("'a\\n\\u00e9'", "a\né"),
        ("length(event.payload.text) + length([])", 5),
        ("join(split('a,b', ','), '-')", "a-b"),
        ("match('^h.*o$', event.payload.text)", True),
        ("replace('aXbX', 'X', '')", "ab"),
        ("sort([3, 1, 2])", [1, 2, 3]),
        ("unique([1, 1.0, '1', true])", [1, "1", True]),
        ("range(3)", [0, 1, 2]),
        ("range(3, 0, -2)", [3, 1]),
        ("slice('hello', 1, 3)", "el"),
        ("chunks([1, 2, 3], 2)", [[1, 2], [3]]),
        ("zip([1, 2], ['a', 'b'])", [[1, "a"], [2, "b"]]),
        ("flat([[1], 2, [[3]]])", [1, 2, [3]]),
        ("index_of([1, 2], 2) + count('aab', 'a')", 3),
        ("min(3, 1) + max([3, 1])", 4),
        ("int('3') + number('0.5') + int(2.9)", 5.5),
        ("round(2.567, 2)", 2.57),
        ("type_of(null) + type_of([]) + type_of(1)", "nullarraynumber"),
        ("string([1, 'a'])", '[1,"a"]'),
        ("bool('') or bool(0)", False),
        ("reversed([1, 2])", [2, 1]),
        ("merge(event.payload.deep, event.payload.deep) == event.payload.deep", True),
    ],
)
def test_what_expressions_mean(text: str, value: Any) -> None:
    found = evaluate(text, NAMES)
    assert found == value
    assert kind_of(found) == kind_of(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("9**9**9", "syntax"),
        ("system('id')", "no function"),
        ("payload.n", "no name"),
        ("(" * 2000 + ")" * 2000, "brackets"),
        ("+".join(["1"] * 1500), "parts"),
        ("not " * 1000 + "true", "nested"),
        ("x" * 20_000, "characters"),
        ("", "empty"),
        ("event.", "too early"),
        ("event.payload.n = 3", "character"),
        ("'\\ud800'", "stored"),
        ("length(1, 2)", "arguments"),
    ],
)
def test_what_is_refused_when_it_is_saved_costs_little(text: str, says: str) -> None:
    def refused() -> None:
        with pytest.raises(ExpressionError, match=says):
            check(text, frozenset(("event",)))

    parse("1")  # the grammar is built once
    assert calls(refused) < 200_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('"a" * 10000000000', "string and number"),
        ('"%1000000000d" % 1', "string and number"),
        ("true + 1", "boolean and number"),
        ("event.payload.n > 'x'", "number and string"),
        ("range(0, 1000000000)", "size"),
        ("range(0, -9223372036854775807, -1)", "size"),
        ("join(chunks(range(10000), 1), replace('aaaaaaaaaa', 'a', 'bbbbbbbbbb'))", "size"),
        ("replace(replace(replace(replace('aaaaaaaaaaaaaaaa', 'a', 'aaaaaaaaaaaaaaaa'), 'a', 'aaaaaaaaaaaaaaaa'),"
         " 'a', 'aaaaaaaaaaaaaaaa'), 'a', 'aaaaaaaaaaaaaaaa')", "size"),
        ("match('^(a|a)*$', event.payload.bad)", "longer than"),
        ("match('(', 'x')", "malformed"),
        ("1/0", "zero"),
        ("5 % 0", "zero"),
        ("9223372036854775807 + 1", "64 bits"),
        ("1e300 * 1e300", "finite"),
        ("event.payload.none.b", "null"),
        ("event.payload.items['a']", "array"),
        ("1 in 2", "number"),
        ("sum(['a'])", "string"),
        ("sort([1, 'a'])", "number and string"),
        ("number('x')", "number"),
        ("chunks([1], 0)", "size"),
        ("round(1, 99)", "digits"),
    ],
)  # fmt: skip
def test_what_has_no_value(text: str, says: str) -> None:
    with pytest.raises(ExpressionError, match=says):
        evaluate(text, NAMES, seconds=60)


@pytest.mark.parametrize("text", ["sum(event.numbers)", "chunks(event.numbers, event.huge)"])
def test_a_number_of_an_event_that_is_too_large_is_named(text: str) -> None:
    with pytest.raises(ExpressionError, match="large") as caught:
        evaluate(text, {"event": {"numbers": [1.5, 10**400], "huge": 10**30}})
    assert (caught.value.path, caught.value.kind) == ("event.numbers", "number")


def test_what_failed_is_named_with_its_type() -> None:
    for text, path, kind in (
        ("event.payload.none.b", "event.payload.none", "null"),
        ("event.payload['deep'].a[0].b.c", "event.payload['deep'].a[0].b", "number"),
        ("lower(event.payload.n)", "event.payload.n", "number"),
        ("-event.payload.text", "event.payload.text", "string"),
    ):
        with pytest.raises(ExpressionError) as caught:
            evaluate(text, NAMES)
        assert (caught.value.path, caught.value.kind) == (path, kind)


def test_work_is_counted() -> None:
    once = "length(event.payload.big)"
    big = {"event": {"payload": {"big": list(range(10_000))}}}
    assert evaluate(once, big, seconds=60) == 10_000
    with pytest.raises(ExpressionError, match="steps"):
        evaluate("+".join([once] * 40), big, seconds=60)


def test_time_is_limited_too() -> None:
    with pytest.raises(ExpressionError, match="took too long"):
        evaluate("1 + 1", NAMES, seconds=0)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([10**400, -(10**400)])
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda children: st.lists(children, max_size=5) | st.dictionaries(st.text(max_size=5), children, max_size=5),
    max_leaves=20,
)


@given(st.text(max_size=200), JSON)
@examples(300)
def test_any_text_on_any_payload_has_a_json_value_or_is_refused(text: str, payload: Any) -> None:
    try:
        found = evaluate(text, {"event": {"payload": payload}})
    except ExpressionError:
        return
    assert kind_of(found)


@given(st.sampled_from(sorted(FUNCTIONS)), st.lists(JSON, max_size=3))
@examples(500)
def test_any_function_on_any_arguments_has_a_json_value_or_is_refused(name: str, arguments: list[Any]) -> None:
    names = {f"x{index}": value for index, value in enumerate(arguments)}
    try:
        found = evaluate(f"{name}({', '.join(names)})", names)
    except ExpressionError:
        return
    assert equal(found, found)


@given(JSON, JSON)
def test_equality_has_no_sides_and_no_surprises(left: Any, right: Any) -> None:
    assert equal(left, right) == equal(right, left)
    assert equal(left, left)
    if equal(left, right):
        assert kind_of(left) == kind_of(right)
