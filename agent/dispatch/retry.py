"""Try again what failed for a reason that may pass, when its action allows it (pure)."""

from __future__ import annotations

from agent.backoff import Backoff

CAUSES = frozenset(("exit", "signal", "timeout", "oom", "environment_failed"))
"""Ends that another attempt may not have: all others are the same each time, or somebody's wish."""

BACKOFF = Backoff(10.0, 600.0, spread=(1.0, 1.1))
"""Seconds from the end of one attempt to the next."""


def may_retry(status: str, cause: str | None, *, also_abandoned: bool = False) -> bool:
    """Whether an attempt that ended so is tried again.

    One that was abandoned may have done its work: only the action itself can say that doing it twice is harmless.
    """
    return (status == "failed" and cause in CAUSES) or (status == "abandoned" and also_abandoned)
