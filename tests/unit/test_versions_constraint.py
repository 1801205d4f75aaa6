"""Which versions a constraint accepts: the reference's truth table with two corrections, and other tools' dialects."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import VersionError
from agent.versions import matches_constraint, parse_constraint, parse_version

CANDIDATES = [
    *("3.0.0", "3.0.5", "3.1.0", "3.11.9", "3.12.0", "3.12.1", "3.12.9", "3.13.0", "3.99.0", "4.0.0"),
    *("3.13.0-rc.1", "3.13.0-rc.2", "3.13.1-rc.1"),
    *("20.0.0", "20.19.0"),
    *("0.2.3", "0.2.9", "0.3.0", "0.0.3", "0.0.4", "0.9.0"),
]
RELEASES = [text for text in CANDIDATES if "-" not in text]
THREE = [text for text in RELEASES if text.startswith("3.")]
THREE_TWELVE = ["3.12.0", "3.12.1", "3.12.9"]
FROM_3_12 = [*THREE_TWELVE, "3.13.0", "3.99.0", "4.0.0", "20.0.0", "20.19.0"]
TO_3_99 = [*THREE_TWELVE, "3.13.0", "3.99.0"]
BELOW_3_12 = [text for text in RELEASES if text not in FROM_3_12]
ZERO = [text for text in RELEASES if text.startswith("0.")]

TRUTH = [
    *[(text, RELEASES) for text in ("", "   ", ",", "*", "x", "X")],
    # A bare major and ~major mean the whole line (the reference: 3.0.0 and 3.0.5 only).
    *[(text, THREE) for text in ("3", "V3", "~3")],
    ("20", ["20.0.0", "20.19.0"]),
    ("~0", ZERO),
    *[(text, THREE_TWELVE) for text in ("3.12", "v3.12", "3.12.x", "3.12.*", "~3.12")],
    *[(text, ["3.12.1", "3.12.9"]) for text in ("3.12.1", "~3.12.1", "3.12.1+build")],
    *[(text, THREE) for text in ("3.x", "3.*", "^3", "3.x.x")],
    ("=3.12", ["3.12.0"]),
    ("=3.12.1", ["3.12.1"]),
    ("=3", ["3.0.0"]),
    ("^3.12", TO_3_99),
    *[(text, ["0.2.3", "0.2.9"]) for text in ("^0.2", "^0.2.3")],
    ("^0.0.3", ["0.0.3"]),
    ("^0", []),
    *[(text, [item for item in FROM_3_12 if item != "3.12.0"]) for text in (">3.12", "> 3.12")],
    *[(text, FROM_3_12) for text in (">=3.12", ">= 3.12", ">=3.12,", ",>=3.12")],
    ("<=3.12", [*BELOW_3_12, "3.12.0"]),
    *[(text, [*THREE, *ZERO]) for text in ("<4", "<4.0")],
    *[(text, TO_3_99) for text in (">=3.12,<4.0", ">=3.12 , <4.0")],
    ("3.12,3.13", []),
    (
        ">=3.13.0-rc.1",
        ["3.13.0-rc.1", "3.13.0-rc.2", "3.13.0", "3.99.0", "4.0.0", "20.0.0", "20.19.0"],
    ),
    ("3.13.0-rc.1", ["3.13.0-rc.1", "3.13.0-rc.2", "3.13.0"]),
    # A wildcard behind an operator counts when all three components are written: the prefix as a whole is compared.
    (">3.12.x", ["3.13.0", "3.99.0", "4.0.0", "20.0.0", "20.19.0"]),
    (">=3.12.x", FROM_3_12),
    ("<3.12.x", BELOW_3_12),
    ("<=3.12.x", [*BELOW_3_12, *THREE_TWELVE]),
    ("=3.12.x", THREE_TWELVE),
    ("~3.12.x", THREE_TWELVE),
    ("^3.12.x", TO_3_99),
    ("<3.13.0", [*BELOW_3_12, *THREE_TWELVE]),
]

DIALECTS = [
    ("==3.12", ["3.12.0"]),
    ("==3.12.1", ["3.12.1"]),
    ("==3.12.*", THREE_TWELVE),
    ("==3.*", THREE),
    ("!=3.12", [item for item in RELEASES if item not in THREE_TWELVE]),
    ("!=3.12.*", [item for item in RELEASES if item not in THREE_TWELVE]),
    ("!=3.12.1", [item for item in RELEASES if item != "3.12.1"]),
    ("!=3", [item for item in RELEASES if item not in THREE]),
    *[(text, TO_3_99) for text in ("~=3.12", "~> 3.12", "~>3.12", "~= 3.12")],
    *[(text, ["3.12.1", "3.12.9"]) for text in ("~=3.12.1", "~> 3.12.1")],
    *[(text, TO_3_99) for text in (">=3.12 <4.0", ">= 3.12 < 4", ">=3.12  <4.0, !=4.0.0", ">=v3.12,<v4")],
    ("3.12 || 3.13", [*THREE_TWELVE, "3.13.0"]),
    ("3.12||>=4,<5 || 0.2", [*THREE_TWELVE, "4.0.0", "0.2.3", "0.2.9"]),
    (">=3.11 <3.12 || 20", ["3.11.9", "20.0.0", "20.19.0"]),
    (">=3.13.0rc2", ["3.13.0-rc.2", "3.13.0", "3.99.0", "4.0.0", "20.0.0", "20.19.0"]),
    ("!=3.13.0-rc.1", RELEASES),
]

ERRORS = [
    ">=3.x",
    "^3.x",
    "~3.x",
    ">=3.13-rc.1",
    "=1.2.3.4",
    "3.12.1.4",
    "latest",
    "python3",
    ">=",
    "=>3.12",
    "3.12.0 - 3.14.0",
    "18 - 20",
    ">=3.12,*",
    "*,>=3",
    "xX",
    "3.x.5",
    "3.012",
    "v",
    "3.12-1",
    "18446744073709551616",
]


def accepted(constraint: str) -> list[str]:
    return [text for text in CANDIDATES if parse_constraint(constraint).accepts(parse_version(text))]


@pytest.mark.parametrize(("constraint", "expected"), TRUTH)
def test_accepts_exactly_what_the_truth_table_says(constraint: str, expected: list[str]) -> None:
    assert set(accepted(constraint)) == set(expected)


@pytest.mark.parametrize(("constraint", "expected"), DIALECTS)
def test_understands_what_other_tools_write_and_says_that_only_we_do(constraint: str, expected: list[str]) -> None:
    assert set(accepted(constraint)) == set(expected)
    assert not parse_constraint(constraint).portable


@pytest.mark.parametrize(("constraint", "_expected"), TRUTH)
def test_knows_what_every_executor_understands(constraint: str, _expected: list[str]) -> None:
    assert parse_constraint(constraint).portable


@pytest.mark.parametrize(
    ("constraint", "advice"),
    [
        ("latest", "write * for any"),
        ("=>3.12", "write >="),
        ("18 - 20", "write a range as >=18, <=20"),
        ("3.12.0 - v3.14.0", "write a range as >=3.12.0, <=v3.14.0"),
        ("python3.12", "write 3.12"),
        (">=3.x", "write >=3"),
        ("^3.x", "write 3.x"),
        ("=1.2.3.4", "write =1.2.3"),
        (">=3.13-rc.1", "write >=3.13.0-rc.1"),
        (">=3.12,*", "remove it"),
        ("3.12 ||", "on both sides of ||"),
        ("|| 3.12", "on both sides of ||"),
    ],
)
def test_what_is_refused_says_what_to_write(constraint: str, advice: str) -> None:
    with pytest.raises(VersionError, match=re.escape(advice)):
        parse_constraint(constraint)


@pytest.mark.parametrize(
    ("version", "constraint", "expected"),
    [
        *[("1.8.0_392", text, text != ">=11") for text in ("8", "1.8", "<11", ">=11", "1.8.0_300")],
        ("17.0.9", ">=1.8", True),
        ("11.0.2", ">=1.17", False),
        ("1.8.0", "8", True),
        ("21-ea", ">=21", False),
        ("21-ea", ">=21.0.0-ea", True),
    ],
)
def test_java_before_9_counts_without_its_first_number(version: str, constraint: str, expected: bool) -> None:
    assert matches_constraint(version, constraint, "java") is expected
    if "_" in version:
        assert matches_constraint(version, constraint) is expected


def test_one_of_the_other_languages_keeps_its_first_number() -> None:
    assert matches_constraint("1.22.3", "1.22", "go") and not matches_constraint("1.22.3", "22", "go")


@pytest.mark.parametrize(("constraint", "expected"), [("~3.1", True), (">=4", False)])
def test_another_ruby_is_the_ruby_that_it_is_compatible_with(constraint: str, expected: bool) -> None:
    assert matches_constraint("jruby 9.4.5.0 (3.1.4)", constraint) is expected


@given(st.text(alphabet="0123456789.*xXv<>=~^!|, -rcab", max_size=60))
def test_whatever_is_accepted_is_accepted_for_a_readable_reason(text: str) -> None:
    """Each alternative holds conditions that all accept what the constraint accepts."""
    with contextlib.suppress(VersionError):
        constraint = parse_constraint(text)
        for version in map(parse_version, CANDIDATES):
            assert constraint.accepts(version) == any(
                all(condition.accepts(version) for condition in conditions)
                and (not version.pre or any(condition.names(version) for condition in conditions))
                for conditions in constraint.alternatives
            )


_small = st.integers(min_value=0, max_value=4)


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "~", "=", ">", ">=", "<", "<="]), st.lists(_small, min_size=1, max_size=3)),
        max_size=20,
    ),
    st.tuples(_small, _small, _small),
)
def test_old_constraints_mean_what_they_meant(
    conditions: list[tuple[str, list[int]]], version: tuple[int, int, int]
) -> None:
    """An independent reading of the old grammar: every condition is an interval of triples."""

    def meets(operator: str, given: list[int]) -> bool:
        low = tuple([*given, 0, 0][:3])
        if operator in ("", "~"):
            high = (low[0] + 1, 0, 0) if len(given) == 1 else (low[0], low[1] + 1, 0)
            return low <= version < high
        checks = {"=": version == low, ">": version > low, ">=": version >= low}
        return (checks | {"<": version < low, "<=": version <= low})[operator]

    text = ",".join(operator + ".".join(map(str, given)) for operator, given in conditions)
    expected = all(meets(operator, given) for operator, given in conditions)
    assert parse_constraint(text).accepts(parse_version(".".join(map(str, version)))) == expected


def test_hostile_texts_are_refused_without_being_read() -> None:
    for text in ("||" * 5000, "3" * 5000, ">=" * 4000, "3.12 " * 3000, " " * 900 + "||" + " " * 90 + "x"):
        with pytest.raises(VersionError):
            parse_constraint(text)


@pytest.mark.parametrize("constraint", ERRORS)
def test_refuses_what_the_truth_table_refuses(constraint: str) -> None:
    with pytest.raises(VersionError, match=re.escape(repr(constraint))):
        parse_constraint(constraint)


@pytest.mark.parametrize(
    ("constraint", "where"),
    [
        (">=3.12 <<4.0", "at character 9 ('<')"),
        (">=3.12, !3.13", "at character 9 ('!')"),
        (">=", "at its end"),
        ("3.12.1.4", "at character 7 ('.')"),
        ("<4, latest", "at character 5 ('l')"),
        (">=3.x", "at character 5 ('x')"),
    ],
)
def test_points_at_the_character_that_makes_a_constraint_unreadable(constraint: str, where: str) -> None:
    with pytest.raises(VersionError) as caught:
        parse_constraint(constraint)
    assert where in str(caught.value)


def test_limits_the_number_of_conditions() -> None:
    assert parse_constraint(",".join([">=1"] * 32)).accepts(parse_version("3"))
    with pytest.raises(VersionError, match="more than 32"):
        parse_constraint(",".join([">=1"] * 33))


@pytest.mark.parametrize(
    ("version", "constraint", "expected"),
    [
        ("3.12.1", ">=3.12", True),
        ("3.11.0", ">=3.12", False),
        ("3.12.1", "<=3.12", False),
        ("3.12.0", ">3.12", False),
        ("3.12.1", ">3.12", True),
        ("3.13.0", "~3.12", False),
        ("20.11.0", ">=18", True),
        ("16.0.0", ">=18", False),
        ("20.19.0", "20.19", True),
        ("20.19.0", "20", True),
    ],
)
def test_compares_texts(version: str, constraint: str, expected: bool) -> None:
    assert matches_constraint(version, constraint) is expected


def test_refuses_to_compare_what_it_cannot_read() -> None:
    with pytest.raises(VersionError, match="version"):
        matches_constraint("one.8", ">=1")
    with pytest.raises(VersionError, match="constraint"):
        matches_constraint("1.8.0", "latest")


part = st.integers(min_value=0, max_value=40)
operator = st.sampled_from(["=", ">", ">=", "<", "<=", "^"])


@given(operator, part, part, st.sampled_from(CANDIDATES))
def test_an_operator_fills_up_with_zeros(sign: str, major: int, minor: int, version: str) -> None:
    candidate = parse_version(version)
    full = parse_constraint(f"{sign}{major}.{minor}.0").accepts(candidate)
    assert parse_constraint(f"{sign} {major}.{minor}").accepts(candidate) is full
    whole = parse_constraint(f"{sign}{major}.0.0").accepts(candidate)
    assert parse_constraint(f"{sign}{major}").accepts(candidate) is whole


@given(part, part, part, st.sampled_from(CANDIDATES))
def test_bare_means_tilde(major: int, minor: int, patch: int, version: str) -> None:
    candidate = parse_version(version)
    for text in (f"{major}", f"{major}.{minor}", f"{major}.{minor}.{patch}"):
        bare = parse_constraint(text).accepts(candidate)
        assert (
            bare is parse_constraint(f"~{text}").accepts(candidate) is parse_constraint(f"v{text}").accepts(candidate)
        )


@given(part, part, part)
def test_below_and_from_share_nothing_and_leave_out_nothing(major: int, minor: int, patch: int) -> None:
    bound = f"{major}.{minor}.{patch}"
    for text in RELEASES:
        version = parse_version(text)
        assert parse_constraint(f"<{bound}").accepts(version) is not parse_constraint(f">={bound}").accepts(version)
        assert parse_constraint(f">{bound}").accepts(version) is not parse_constraint(f"<={bound}").accepts(version)


@given(st.text(alphabet="0123456789.,<>=~^*xXv -+rc|!", max_size=40))
def test_any_text_is_a_constraint_or_a_version_error(text: str) -> None:
    with contextlib.suppress(VersionError):
        parse_constraint(text)


@pytest.mark.parametrize(
    ("constraint", "precision"), [("", 0), ("3", 1), (">=3.12,<4", 2), ("<3.12.5", 3), ("3.12.x", 2)]
)
def test_knows_how_precise_it_is(constraint: str, precision: int) -> None:
    assert parse_constraint(constraint).precision == precision
