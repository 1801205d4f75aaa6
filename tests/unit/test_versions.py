"""Reading and ordering versions."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import VersionError
from agent.versions import Version, components, parse_version

numbers = st.integers(min_value=0, max_value=2**64 - 1)
identifier = st.from_regex(r"\A(0|[1-9][0-9]{0,3}|[0-9]{0,2}[A-Za-z-][0-9A-Za-z-]{0,4})\Z")
build_identifier = st.from_regex(r"\A[0-9A-Za-z-]{1,5}\Z")
versions = st.builds(
    Version,
    numbers,
    numbers,
    numbers,
    st.lists(identifier, max_size=3).map(".".join),
    st.lists(build_identifier, max_size=3).map(".".join),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", "3.0.0"),
        ("3.12", "3.12.0"),
        ("3.12.1", "3.12.1"),
        ("v3.12.1", "3.12.1"),
        ("V20", "20.0.0"),
        ("  3.12.1 ", "3.12.1"),
        ("3.12.1\n", "3.12.1"),
        ("3.12.1.4", "3.12.1"),
        ("1.2.3.4.5", "1.2.3"),
        ("3.13.0-rc.1", "3.13.0-rc.1"),
        ("3.12.1-beta.1+b5", "3.12.1-beta.1+b5"),
        ("21.0.1+12-LTS", "21.0.1+12-LTS"),
        ("5.36.0-1", "5.36.0-1"),
        ("18446744073709551615.0.0", "18446744073709551615.0.0"),
        ("1.0.0+007", "1.0.0+007"),
    ],
)
def test_reads_what_the_reference_reads(text: str, expected: str) -> None:
    assert str(parse_version(text)) == expected


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("vv3", 2),
        ("3.07.1", 3),
        ("1.8.0_392", 6),
        ("3.13.0rc1", 7),
        ("3-beta", 2),
        ("3.12-beta", 5),
        ("", None),
        ("v", None),
        ("3.", None),
        ("3..1", 3),
        (".3", 1),
        ("3.x", 3),
        ("not-a-version", 1),
        ("18446744073709551616", 1),
        ("1.0.0-01", 7),
        ("1.0.0-", None),
        ("  3.x", 5),
        ("3.1²", 4),
    ],
)
def test_points_at_the_character_that_makes_a_version_unreadable(text: str, position: int | None) -> None:
    where = f"at character {position} " if position else "at its end"
    with pytest.raises(VersionError, match=where) as caught:
        parse_version(text)
    assert repr(text) in str(caught.value)


def test_orders_as_semantic_versioning_does_and_then_by_build_metadata() -> None:
    ascending = [
        "0.9.0",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.0+1",
        "1.0.0+01",
        "1.0.0+2",
        "1.0.0+11",
        "1.0.0+b1",
        "1.0.0+b2",
        "1.0.1",
        "1.2.0",
        "1.11.0",
        "3.12.0",
        "20.0.0",
    ]
    parsed = [parse_version(text) for text in ascending]
    assert all(first < second for first, second in itertools.pairwise(parsed))


@given(versions, versions, versions)
def test_order_is_total(a: Version, b: Version, c: Version) -> None:
    assert (a < b) + (a == b) + (a > b) == 1
    if a <= b and b <= c:
        assert a <= c
    assert sorted([a, b, c]) == sorted([c, b, a])


@given(versions)
def test_what_is_written_is_read_back(version: Version) -> None:
    assert parse_version(str(version)) == version


@given(numbers, numbers)
def test_missing_components_are_zero(major: int, minor: int) -> None:
    assert parse_version(f"{major}") == parse_version(f"v{major}.0.0") == parse_version(f" {major}.0")
    assert parse_version(f"{major}.{minor}") == parse_version(f"{major}.{minor}.0") == Version(major, minor)


@given(st.text(max_size=40))
def test_any_text_is_a_version_or_a_version_error(text: str) -> None:
    with contextlib.suppress(VersionError):
        parse_version(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.12.1", (3, 12, 1)),
        ("20.11", (20, 11, 0)),
        ("20", (20, 0, 0)),
        ("latest", (None, None, None)),
        ("2147483648.1", (None, 1, 0)),
        ("2147483647", (2147483647, 0, 0)),
    ],
)
def test_components_are_what_integer_columns_can_hold(text: str, expected: tuple[int | None, ...]) -> None:
    assert components(text) == expected
