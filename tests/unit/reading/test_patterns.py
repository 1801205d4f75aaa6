"""A pack's pattern can neither use up memory nor keep the agent from its work."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.reading.patterns import PatternError, check_pattern, search


@pytest.mark.parametrize(
    "pattern",
    [
        "(?:(?:a{1000}){1000}){1000}",
        "a{1000000}",
        "(?:a{1000}[(]){1000}",
        "(?x)(?:a{ 1 0 0 0 }){1000}",
        "(?x)a{# }\n1000000}",
        "(?sx:a{1000000})",
        "(?:aaaaaaaaaaaaaaaaaaaa){e<=19}",
        "(?:a){1<=e<=3}",
        "(a(?R)?b)",
        "(?P<x>a(?&x)?)",
        "a" * 2_001,
        "(" * 500 + ")" * 500,
        "(unclosed",
        "a{99999999999999999999}",
    ],
    ids=lambda pattern: pattern[:20],
)
def test_what_could_hurt_is_refused_before_it_is_compiled(pattern: str) -> None:
    with pytest.raises(PatternError):
        check_pattern(pattern)


def test_a_search_without_end_is_ended() -> None:
    with pytest.raises(PatternError, match="longer"):
        search(r"(?:(?:\w{10,1000}){10,1000}){10,1000}", "a" * 65_536)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^Python 3\.(1[1-9]|[2-9]\d)\.\d{1,3}", "Python 3.12.4\n"),
        (r'version "(\d+)\.?(\d+)?', 'openjdk version "21.0.1" 2023-10-17'),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "id 01234567-89ab-cdef-0123-456789abcdef"),
        (r"(?i)ruby\s+3", "RUBY  3.2"),
    ],
)
def test_what_packs_ask_for_is_found(pattern: str, text: str) -> None:
    assert search(pattern, text)
    assert not search(pattern, "something else")


@given(st.text(max_size=60) | st.text(r"ab()[]{}*+?|\^$.,:=<>!0123456789ex", max_size=30), st.text("ab01", max_size=30))
def test_no_pattern_raises_anything_else(pattern: str, text: str) -> None:
    with contextlib.suppress(PatternError):
        search(pattern, text)
