"""Choose among the workers that fit: the most preferred, then the one with most free slots, then in turns (pure)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.placement.affinity import preference
from agent.placement.candidate import Candidate
from agent.placement.demand import Demand
from agent.placement.fit import misfit


@dataclass(frozen=True)
class Placement:
    """The worker that was chosen, if any, and for each that does not fit ``(name, reason)``.

    ``full`` are workers that fit and have no free slot; the one that was chosen may be among them.
    """

    worker: Candidate | None
    refusals: tuple[tuple[str, str], ...]
    full: tuple[Candidate, ...] = ()


def choose(demand: Demand, candidates: Sequence[Candidate], *, turn: int = 0) -> Placement:
    """Choose among ``candidates``; ``turn`` counts on, so that equals take turns.

    Where all that fit are full, the least loaded is chosen: whoever wants to wait instead looks at ``full``.
    """
    refusals = [(one.name, problem) for one in candidates if (problem := misfit(demand, one))]
    refused = {name for name, _ in refusals}
    fitting = [one for one in candidates if one.name not in refused]
    if not fitting:
        return Placement(None, tuple(refusals))
    ready = [one for one in fitting if one.free > 0] or fitting
    best = _equals(demand, ready)
    return Placement(best[turn % len(best)], tuple(refusals), tuple(one for one in fitting if one.free <= 0))


def _equals(demand: Demand, ready: Sequence[Candidate]) -> list[Candidate]:
    ranks = [(preference(demand.affinity, one.labels), one.free) for one in ready]
    best = max(ranks)
    return [one for one, rank in zip(ready, ranks, strict=True) if rank == best]


class Room:
    """How much room each worker has left while a batch of executions is placed.

    A worker may get a few more than its slots, its reserve: they wait beside it, so that it never waits for the
    network. Such work goes out only when no worker that fits has a free slot.
    """

    def __init__(self, fleet: Sequence[Candidate], reserve: Callable[[Candidate], int], *, turn: int = 0) -> None:
        """Begin with what the workers have free; ``reserve`` says how many may wait beside each.

        ``turn`` counts what was placed before, so that equals take turns from one batch to the next.
        """
        self._free = {one.id: one.free for one in fleet}
        self._reserve = {one.id: reserve(one) for one in fleet}
        self._turn = turn

    def free(self, candidate: Candidate) -> int:
        """How many slots the worker has left."""
        return self._free[candidate.id]

    def left(self, fitting: Sequence[Candidate]) -> int:
        """How many executions these workers can still get together."""
        return sum(max(0, self._free[one.id] + self._reserve[one.id]) for one in fitting)

    def take(self, demand: Demand, fitting: Sequence[Candidate], count: int) -> list[Candidate]:
        """Give room to ``count`` executions of one demand, at most; return their workers."""
        order: list[tuple[bool, int, int, int, Candidate]] = []
        first = self._turn % len(fitting) if fitting else 0
        for one in (*fitting[first:], *fitting[:first]):
            if self._free[one.id] + self._reserve[one.id] > 0:
                order.append((*self._rank(one, preference(demand.affinity, one.labels)), len(order), one))
        heapq.heapify(order)
        chosen: list[Candidate] = []
        while order and len(chosen) < count:
            _, weight, _, _, one = order[0]
            self._free[one.id] -= 1
            chosen.append(one)
            if self._free[one.id] + self._reserve[one.id] > 0:
                heapq.heapreplace(order, (*self._rank(one, -weight), len(fitting) + len(chosen), one))
            else:
                heapq.heappop(order)
        self._turn += len(chosen)
        return chosen

    def give_back(self, workers: Sequence[Candidate]) -> None:
        """Free what was taken and for which there was no execution."""
        for one in workers:
            self._free[one.id] += 1
        self._turn -= len(workers)

    def _rank(self, one: Candidate, weight: int) -> tuple[bool, int, int]:
        """The smallest is first: who has a free slot, then the most preferred, then who has most free slots."""
        free = self._free[one.id]
        return free <= 0, -weight, -free
