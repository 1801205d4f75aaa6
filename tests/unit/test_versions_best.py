"""Choosing among versions."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import VersionError
from agent.versions import matches_constraint, matches_row, parse_version, select_best_version


@dataclass(frozen=True)
class Row:
    version: str
    is_default: bool = False
    available: bool = True


def best(rows: list[Row], constraint: str | None) -> str | None:
    chosen = select_best_version(rows, constraint)
    return chosen.version if chosen else None


def rows(*versions: str) -> list[Row]:
    return [Row(version) for version in versions]


def test_without_a_constraint_the_default_wins() -> None:
    assert best([Row("3.11.0"), Row("3.12.0", is_default=True), Row("3.14.0")], None) == "3.12.0"
    assert best([Row("3.11.0"), Row("3.12.0", is_default=True), Row("3.14.0")], "  ") == "3.12.0"


def test_without_a_constraint_and_a_default_the_highest_wins() -> None:
    assert best(rows("3.11.0", "3.14.0", "3.12.0"), None) == "3.14.0"


def test_an_unavailable_default_is_passed_over() -> None:
    assert best([Row("3.11.0"), Row("3.12.0", is_default=True, available=False)], None) == "3.11.0"


def test_a_default_that_is_no_version_can_only_be_chosen_as_the_default() -> None:
    assert best([Row("lts", is_default=True), Row("20")], None) == "lts"
    assert best([Row("lts", is_default=True), Row("20")], ">=1") == "20"
    assert best([Row("lts")], None) is None


@pytest.mark.parametrize(
    ("versions", "constraint", "expected"),
    [
        (("3.11.0", "3.12.0", "3.14.0"), ">=3.12,<3.14", "3.12.0"),
        (("3.11.0", "3.12.0", "3.12.5", "3.13.0"), "~3.12", "3.12.5"),
        (("3.11.0", "3.12.0"), ">=4.0", None),
        (("3.12", "3.12.0"), "3.12", "3.12"),
        ((), ">=3", None),
        ((), None, None),
    ],
)
def test_takes_the_highest_that_meets_the_constraint(
    versions: tuple[str, ...], constraint: str | None, expected: str | None
) -> None:
    assert best(rows(*versions), constraint) == expected


def test_a_constraint_outranks_the_default() -> None:
    assert best([Row("3.12", is_default=True), Row("3.13")], ">=3.12") == "3.13"


def test_passes_over_what_is_not_available() -> None:
    assert best([Row("3.12.0"), Row("3.14.0", available=False)], ">=3.12") == "3.12.0"
    assert best([Row("3.12.0", available=False)], None) is None


def test_a_malformed_constraint_is_an_error() -> None:
    with pytest.raises(VersionError, match="latest"):
        best(rows("3.12"), "latest")


@pytest.mark.parametrize(
    ("row", "advertised", "expected"),
    [
        ("3.12", "3.12.13", True),
        ("3.12", "3.12", True),
        ("3.12", "3.13.0", False),
        ("20", "20.19.0", True),
        ("3.1", "3.12", False),
        ("3", "3.12.1", True),
        ("3.12.0", "3.12", True),
        ("3.12.13", "3.12", False),
        ("v20", "20.19.0", True),
        ("1.8", "1.8.0_392", True),
        ("1.8.0_392", "1.8.0_392", True),
        ("1.8.0_391", "1.8.0_392", False),
        ("17", "17", True),
        ("8", "1.8.0_392", True),
        ("8.0.392", "1.8.0_392", True),
        ("3.13", "3.13.0rc2", True),
        ("21", "21-ea", True),
        ("3.13", "3.13.0-rc.1", True),
        ("3.13.0", "3.13.0-rc.1", False),
        ("lts", "lts", True),
        ("lts", "20.1.0", False),
        ("", "3.12", False),
    ],
)
def test_a_row_means_the_interpreters_whose_version_it_begins(row: str, advertised: str, expected: bool) -> None:
    assert matches_row(row, advertised) is expected


component = st.integers(min_value=0, max_value=5)
texts = st.lists(component, min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))
candidates = st.lists(st.builds(Row, texts, st.booleans(), st.booleans()), max_size=8)
constraints = st.builds(str.__add__, st.sampled_from(["", "=", ">", ">=", "<", "<=", "~", "^"]), texts)


@given(candidates, constraints)
def test_what_is_selected_is_available_satisfies_and_is_not_beaten(found: list[Row], constraint: str) -> None:
    fitting = [row for row in found if row.available and matches_constraint(row.version, constraint)]
    chosen = select_best_version(found, constraint)
    assert (chosen is None) is (not fitting)
    if chosen is not None:
        assert chosen in fitting
        assert all(parse_version(row.version) <= parse_version(chosen.version) for row in fitting)
