"""A worker as its row describes it to whoever looks for one (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

DEFAULT_SLOTS = 10
"""Slots of a worker that does not say how many it has."""


@dataclass(frozen=True)
class Candidate:
    """A worker as its row describes it.

    ``heartbeat_age`` is in seconds, None when it never sent one; ``in_hand`` counts the executions that are scheduled
    for it or run on it.
    """

    id: int
    name: str
    status: str
    cordoned: bool
    cordon_reason: str | None
    heartbeat_age: float | None
    capabilities: Mapping[str, Any]
    in_hand: int = 0

    @property
    def slots(self) -> int:
        """How many executions it runs at the same time."""
        slots = self.capabilities.get("max_concurrent_executions")
        return slots if isinstance(slots, int) and not isinstance(slots, bool) and slots >= 0 else DEFAULT_SLOTS

    @property
    def free(self) -> int:
        """How many more it could run now; negative when more is scheduled for it than it runs at once."""
        return self.slots - self.in_hand

    @property
    def guarded(self) -> bool:
        """Whether it claims an execution before it runs it, so that one may be taken back or sent twice."""
        return self.capabilities.get("guarded_claim") is True

    @property
    def labels(self) -> Mapping[str, Any]:
        """What selectors and affinity look at."""
        labels = self.capabilities.get("labels")
        return labels if isinstance(labels, Mapping) else {}


def candidate_of(row: Mapping[str, Any]) -> Candidate:
    """Make a candidate of a row; ``capabilities`` may be anything, as another program may have written them."""
    known = row["capabilities"] if isinstance(row["capabilities"], Mapping) else {}
    return Candidate(**{name: row[name] for name in _COLUMNS} | {"capabilities": known})


_COLUMNS = tuple(field.name for field in fields(Candidate))
