"""Compile and search patterns that come with packs: bounded in size and in time.

A counted repetition is copied when a pattern is compiled, one inside another multiplies, and no time limit covers
compiling. So patterns are judged by their text first.
"""

from __future__ import annotations

import re

import regex

#: No verification is anywhere near these.
_LONGEST = 2_000
_MOST_COPIES = 20_000

#: Seconds that one pattern may search.
TIMEOUT = 0.5

# The comments of a verbose pattern could hide a count; approximate matching and recursion have costs of their own.
_REFUSED = re.compile(r"\(\?[A-Za-z0-9]*x|\{[0-9<=,\s]*[eids]|\(\?(?:R|&|P>|[+-]?[0-9])")
_COUNT = re.compile(r"\{\s*([0-9]+)")


class PatternError(ValueError):
    """The pattern can't be used; the message says why."""


def check_pattern(pattern: str) -> None:
    """Compile ``pattern`` and forget it.

    Raises:
        PatternError: it can't be used.
    """
    _compiled(pattern)


def search(pattern: str, text: str, *, timeout: float = TIMEOUT) -> bool:
    """Tell whether ``pattern`` is found in ``text``; other threads go on meanwhile.

    Raises:
        PatternError: it can't be used, or takes longer than ``timeout`` seconds.
    """
    compiled = _compiled(pattern)
    try:
        return compiled.search(text, timeout=timeout, concurrent=True) is not None
    except TimeoutError:
        raise PatternError(f"took longer than {timeout:g} s") from None
    except (regex.error, RecursionError, MemoryError) as error:
        raise PatternError(f"can't be searched for ({error})") from None


def _compiled(pattern: str) -> regex.Pattern[str]:
    if len(pattern) > _LONGEST:
        raise PatternError(f"is longer than {_LONGEST} characters")
    if _REFUSED.search(pattern):
        raise PatternError("uses verbose mode, approximate matching or recursion, which are not supported")
    copies = 1
    for count in _COUNT.findall(pattern):
        copies *= max(1, int(count[:9]))
        if copies > _MOST_COPIES:
            raise PatternError(f"repeats more than {_MOST_COPIES} times in all; use + or * in place of large counts")
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError, MemoryError, ValueError) as error:
        raise PatternError(f"is malformed ({error})") from None
