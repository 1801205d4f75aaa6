"""How long somebody must wait after log-ins that failed (pure): a delay, never a lock."""

from __future__ import annotations

from typing import Literal

Kind = Literal["account", "address"]

#: Failures that are free, and the longest wait in seconds. An account is soon free again, whoever guesses at it.
_LIMITS: dict[Kind, tuple[int, float]] = {"account": (5, 5.0), "address": (20, 60.0)}


def wait_after(kind: Kind, failures: int, seconds_since: float) -> float:
    """Return the seconds until the next attempt is looked at; 0 at once."""
    free, longest = _LIMITS[kind]
    if failures < free:
        return 0.0
    return max(0.0, min(longest, 2.0 ** min(failures - free, 10)) - seconds_since)
