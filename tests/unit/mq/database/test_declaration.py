"""Topic keys as regular expressions over words."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from agent.mq.database.declaration import topic_pattern

words = st.sampled_from(["a", "b", "", "*", "#"])


def matches(pattern: list[str], key: list[str]) -> bool:
    """The definition, word by word."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return any(matches(pattern[1:], key[count:]) for count in range(len(key) + 1))
    return bool(key) and pattern[0] in ("*", key[0]) and matches(pattern[1:], key[1:])


@given(st.lists(words, min_size=1, max_size=5), st.lists(st.sampled_from(["a", "b", ""]), min_size=2, max_size=5))
def test_a_pattern_matches_as_the_definition_says(pattern: list[str], key: list[str]) -> None:
    expression = topic_pattern(".".join(pattern))
    if expression is None:
        assert not {"*", "#"} & set(pattern)
        return
    assert bool(re.search(expression, ".".join(key) + ".")) == matches(pattern, key)


def test_a_key_without_wildcards_has_no_pattern() -> None:
    assert topic_pattern("execution.completed") is None
    assert topic_pattern("a#b.c*") is None
