"""What is remembered of the demands of what waits, from one round to the next; a restart may only lengthen the wait.

A round looks at a part of the demands. A walk is as many rounds as it takes to look at each; what it did not meet is
forgotten at its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from agent.placement.candidate import Candidate
from agent.placement.demand import Demand
from agent.placement.fit import lacks

Key = tuple[int, str]
"""An action and the hash of an execution's own placement."""

FIRST: Key = (0, "")
"""Stands before each key."""


class Waiting:
    """The demands that nobody fits, each with the moment since when."""

    def __init__(self, patience: float) -> None:
        """``patience`` is in seconds; 0 means that nobody is waited for."""
        self._patience = patience
        self._before: dict[Key, float] = {}
        self._met: dict[Key, float] = {}

    def update(self, unfit: Iterable[Key], now: float) -> list[Key]:
        """Take note of what fits nobody now; return what has fitted nobody for the whole patience."""
        since = {key: self._met.get(key, self._before.get(key, now)) for key in unfit}
        self._met |= since
        return [key for key, moment in since.items() if now - moment >= self._patience]

    def end_walk(self) -> None:
        """Forget what was not met since the last end."""
        self._before, self._met = self._met, {}

    def __len__(self) -> int:
        """Count the demands that wait for a worker that fits."""
        return len(self._before | self._met)


class Fits:
    """Who fits a demand, his slots and state aside, remembered for as long as neither changes.

    Thousands of demands times the workers would otherwise be compared, version by version, in each round.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._before: dict[Key, _Known] = {}
        self._met: dict[Key, _Known] = {}

    def among(self, key: Key, demand: Demand, workers: Sequence[tuple[Candidate, datetime]]) -> list[Candidate]:
        """Return those of ``workers`` that fit; each comes with the moment when its row was changed."""
        known = self._met.get(key) or self._before.get(key)
        if known is None or known.demand != demand:
            known = _Known(demand)
        self._met[key] = known
        return [worker for worker, changed in workers if known.fits(worker, changed)]

    def end_walk(self) -> None:
        """Forget what was not met since the last end."""
        self._before, self._met = self._met, {}


class _Known:
    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self._workers: dict[int, tuple[datetime, bool]] = {}

    def fits(self, worker: Candidate, changed: datetime) -> bool:
        found = self._workers.get(worker.id)
        if found is None or found[0] != changed:
            found = self._workers[worker.id] = (changed, not lacks(self.demand, worker))
        return found[1]
