"""How long somebody must wait after log-ins that failed (pure): a delay, never a lock."""

from __future__ import annotations

from typing import Literal

from agent.backoff import Backoff

Kind = Literal["account", "address"]

#: Failures that are free, and the waits after them. An account is soon free again, whoever guesses at it.
_LIMITS = {"account": (5, Backoff(1.0, 5.0)), "address": (20, Backoff(1.0, 60.0))}


def wait_after(kind: Kind, failures: int, seconds_since: float) -> float:
    """Return the seconds until the next attempt is looked at; 0 at once."""
    free, backoff = _LIMITS[kind]
    if failures < free:
        return 0.0
    return max(0.0, backoff.pause(failures - free) - seconds_since)
