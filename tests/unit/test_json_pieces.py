"""JSON in pieces is the same JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.json_pieces import json_pieces

encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
encode_sorted = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode

scalars = st.none() | st.booleans() | st.integers() | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
large = st.builds(lambda text, count: text * count, st.text(min_size=1, max_size=3), st.integers(30_000, 140_000))
objects = st.dictionaries(st.text(), values | large, max_size=4)


@given(values | objects)
def test_joined_they_are_what_the_encoder_writes(value: object) -> None:
    assert b"".join(json_pieces(value, encode)) == encode(value).encode()
    assert b"".join(json_pieces(value, encode_sorted, sort_keys=True)) == encode_sorted(value).encode()


def test_no_piece_is_as_large_as_the_text() -> None:
    pieces = list(json_pieces({"a": "x" * 10_000_000, "b": 1}, encode))
    assert max(map(len, pieces)) <= 65_536
    assert sum(map(len, pieces)) == 10_000_000 + len('{"a":"","b":1}')


@pytest.mark.parametrize("value", ["\ud800", {"a": "\ud800" * 100_000}, {"a": "x" * 100_000, "\udfff": 1}])
def test_what_has_no_utf_8_form_is_refused_or_replaced(value: object) -> None:
    with pytest.raises(UnicodeEncodeError):
        list(json_pieces(value, encode))
    json.loads(b"".join(json_pieces(value, encode, errors="replace")))
