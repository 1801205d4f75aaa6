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
        ("1!3.0", 2),
        ("3.13.0rc1x", 7),
        ("9" * 300, 1),
        ("", None),
        ("v", None),
        ("3.", None),
        ("3..1", 3),
        (".3", 1),
        ("3.x", 3),
        ("not-a-version", 1),
        ("18446744073709551616", 1),
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.13.0rc2", "3.13.0-rc.2"),
        ("3.13rc2", "3.13.0-rc.2"),
        ("3.14.0a7+", "3.14.0-alpha.7"),
        ("3.13t", "3.13.0+t"),
        ("3.13.0.post1", "3.13.0"),
        ("3.07.1", "3.7.1"),
        ("1.8.0_392", "8.0.392"),
        ("1.8.0_392-b08", "8.0.392-b08"),
        ("1.8.0_392-internal", "8.0.392-internal"),
        ("21-ea", "21.0.0-ea"),
        ("21-ea+35", "21.0.0-ea+35"),
        ("9-internal", "9.0.0-internal"),
        ("3-beta", "3.0.0-beta.0"),
        ("go1.22.0", "1.22.0"),
        ("go1.26rc1", "1.26.0-rc.1"),
        ("devel go1.23-4f2bad5", "1.23.0-dev+4f2bad5"),
        ("3.4.0preview2", "3.4.0-rc.2"),
        ("8.2.36-1~deb12u1", "8.2.36+1.deb12u1"),
        ("4.5.0 Under development (unstable)", "4.5.0-dev"),
        ("4.3.2 Patched", "4.3.2+Patched"),
        ("jruby 9.4.5.0 (3.1.4) 2023-11-02", "3.1.4"),
        ("truffleruby 23.1.1, like ruby 3.2.2, Oracle GraalVM Native", "3.2.2"),
    ],
)
def test_reads_what_vendors_write(text: str, expected: str) -> None:
    assert str(parse_version(text)) == expected


def test_python_pre_releases_order_as_python_orders_them() -> None:
    texts = ["3.14a1.dev1", "3.14.0a1", "3.14.0a2", "3.14.0b1", "3.14.0rc1", "3.14.0rc2", "3.14.0", "3.14.1rc1"]
    assert sorted(texts, key=parse_version) == texts


vendor_texts = st.builds(
    lambda release, suffix: ".".join(map(str, release)) + suffix,
    st.lists(st.integers(min_value=0, max_value=30), min_size=1, max_size=4),
    st.sampled_from(["", "a1", "b2", "rc1", "rc2", ".dev3", "-ea", "-internal", "t", "_392", "+b1", "-1", " Patched"]),
)


@given(st.lists(vendor_texts, min_size=3, max_size=3))
def test_order_is_total_across_dialects(texts: list[str]) -> None:
    read = []
    for text in texts:
        with contextlib.suppress(VersionError):
            read.append(parse_version(text))
    for a, b in itertools.product(read, repeat=2):
        assert (a < b) + (a == b) + (a > b) == 1
    assert sorted(read) == sorted(read, reverse=True)[::-1]
    assert all(parse_version(str(version)) == version for version in read)


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
