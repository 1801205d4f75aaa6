"""Decide what is taken back from a worker that has not begun it (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agent.dispatch.fleet import Fleet
from agent.liveness import DEAD_AFTER
from agent.placement.candidate import Candidate
from agent.placement.choice import Room
from agent.placement.demand import Demand
from agent.placement.fit import lacks, misfit

LOST_AFTER = 5.0
"""Seconds after which a dispatch that its worker has a free slot for, and did not claim, must have been lost."""

EXPIRES_AFTER = 240.0
"""Seconds after which a dispatch is taken back before its queue drops it."""

Decision = Literal["keep", "recall", "fail"]


@dataclass(frozen=True)
class Unclaimed:
    """An execution that was given to ``worker`` and not begun for ``age`` seconds."""

    id: int
    worker: int | None
    updated: datetime
    age: float
    demand: Demand


def decide(one: Unclaimed, fleet: Fleet, room: Room, *, recall_after: float, scheduled_timeout: float) -> Decision:
    """Say what becomes of it; a slot that it would get elsewhere is counted as taken in ``room``.

    A worker that claims before it runs ignores a dispatch that was taken back. Any other runs it whatever the row says:
    from such a worker nothing is taken before it is gone.
    """
    worker = fleet.get(one.worker)
    if worker is None or worker.status in ("inactive", "error") or _silent(worker):
        return "recall" if _somebody_else(one, fleet) or one.age > DEAD_AFTER else "keep"
    if not worker.guarded:
        return "fail" if one.age > scheduled_timeout else "keep"
    if worker.status == "busy":  # it is leaving
        return "recall" if _somebody_else(one, fleet) else "keep"
    if one.age > EXPIRES_AFTER or (one.age > LOST_AFTER and fleet.running(worker) < worker.slots):
        return "recall"
    if one.age > recall_after:
        free = [other for other in _others(one, fleet) if room.free(other) > 0]
        if free:
            room.take(one.demand, free, 1)
            return "recall"
    return "keep"


def _silent(worker: Candidate) -> bool:
    return worker.heartbeat_age is None or worker.heartbeat_age > DEAD_AFTER


def _others(one: Unclaimed, fleet: Fleet) -> list[Candidate]:
    return [other for other in fleet.workers if other.id != one.worker and misfit(one.demand, other) is None]


def _somebody_else(one: Unclaimed, fleet: Fleet) -> bool:
    """Whether a live worker could step in; a full one will have a slot some time."""
    return any(not lacks(one.demand, other) for other in _others(one, fleet))
