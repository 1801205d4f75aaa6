"""Try again what failed for a reason that may pass, when its action allows it (pure)."""

from __future__ import annotations

import random
from collections.abc import Callable

CAUSES = frozenset(("exit", "signal", "timeout", "oom", "environment_failed"))
"""Ends that another attempt may not have: all others are the same each time, or somebody's wish."""

_FIRST, _LONGEST = 10.0, 600.0


def may_retry(status: str, cause: str | None) -> bool:
    """Whether an attempt that ended so is tried again. One that was abandoned may have done its work."""
    return status == "failed" and cause in CAUSES


def delay(attempt: int, *, jitter: Callable[[], float] = random.random) -> float:
    """Return the seconds before the next attempt; ``attempt`` counts from 0. Up to a tenth is chance."""
    return min(_FIRST * 2.0 ** min(attempt, 16), _LONGEST) * (1.0 + 0.1 * jitter())
