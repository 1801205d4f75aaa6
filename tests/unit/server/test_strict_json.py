"""JSON that means one thing and that the database can hold; everything else is refused with a reason."""

from __future__ import annotations

import pytest

from agent.server.strict_json import BadJson, read_json


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b'{"a": 1, "a": 2}', "'a' appears twice"),
        (b'{"x": {"a": 1, "b": 2, "a": 3}}', "'a' appears twice"),
        (b"[" * 100_000, "nested deeper than 64"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested deeper than 64"),
        (b"NaN", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"1e999", "too large a number"),
        (b"1" * 5000, "5000 digits"),
        (b'"\\u0000"', "character NUL"),
        (b'{"a\\u0000": 1}', "character NUL"),
        (b'["\\ud800"]', "half a character"),
    ],
)
def test_what_means_two_things_or_nothing_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(BadJson, match=reason):
        read_json(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\xc3\xa9"]}', {"a": [1, 2.5, None, True, "é"]}),
        (b'"\\\\u0000"', "\\u0000"),
        (b'"\\ud83d\\ude00"', "😀"),
        (b"[" * 64 + b"]" * 64, None),
        (b'"' + b"[{" * 200 + b'"', "[{" * 200),
        (b"9" * 400, int("9" * 400)),
    ],
)
def test_what_is_json_is_read(body: bytes, value: object) -> None:
    found = read_json(body)
    assert value is None or found == value
