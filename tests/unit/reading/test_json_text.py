"""JSON costs no more than its budget, whatever it holds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.reading.json_text import DEEPEST, MOST_VALUES, Budget, read_json, require_few_values
from tests.unit.peak_memory import growth

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_what_json_can_say_is_read(value: object) -> None:
    assert read_json(json.dumps(value)) == value


@given(st.binary() | st.text() | st.text('[]{},:"\\0123456789.eE+-ntrf \n'))
def test_whatever_is_read_the_only_error_is_one(text: str | bytes) -> None:
    kind = None
    try:
        read_json(text)
    except ValueError as error:
        kind = type(error)
    assert kind in (None, ValueError)  # a JSONDecodeError would hold the text


@pytest.mark.parametrize(
    "text",
    [
        "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" + "{}," * MOST_VALUES + "{}]",
        "[" + "1," * MOST_VALUES + "1]",
        "9" * 5_000,
        "-" + "9" * 5_000,
        "1e999",
        "NaN",
        "Infinity",
    ],
    ids=lambda text: text[:12],
)
def test_what_is_too_much_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_json(text)
    assert len(str(caught.value)) < 100


def test_signs_inside_strings_are_no_values() -> None:
    assert read_json(json.dumps("[{,:" * 200_000)) == "[{,:" * 200_000
    assert read_json(json.dumps(['\\"[' * 100])) == ['\\"[' * 100]


def test_refusing_costs_a_fraction_of_building() -> None:
    before = "from agent.reading.json_text import read_json\nread_json('[]')\ntext = '[' + '{},' * 3_300_000 + '{}]'"
    measured = """
try:
    read_json(text)
except ValueError as refusal:
    assert "holds more than" in str(refusal)
else:
    raise AssertionError("it was built")
"""
    assert growth(before, measured) < 5_000_000


def test_several_documents_may_share_a_budget() -> None:
    budget = Budget(values=10)
    read_json("[1,2,3,4,5]", budget)
    with pytest.raises(ValueError, match="holds more than"):
        read_json("[1,2,3,4,5]", budget)
    assert budget.exhausted


def test_aliases_that_multiply_are_refused() -> None:
    value: list[object] = [1] * 10
    for _ in range(9):
        value = [value] * 10
    with pytest.raises(ValueError, match="holds more than"):
        require_few_values(value)
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="holds more than"):
        require_few_values(circle)
    require_few_values({"a": [1, {"b": None}]})
