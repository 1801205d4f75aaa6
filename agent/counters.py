"""What this process has counted since its start, for whoever measures it: a name, labels and a number each.

It stands below everything else, so that whoever sees a thing happen can count it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping

#: Upper bounds in seconds, from a short script to the longest installation.
BOUNDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """How often values fell below each of ``BOUNDS``, how many there were, and their sum in seconds."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one value."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds


class Counters:
    """For any thread. Labels must come from what we know, never from what others send: each pair is kept for ever."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self._lock = threading.Lock()
        self._counts: defaultdict[tuple[str, Labels], int] = defaultdict(int)
        self._histograms: defaultdict[str, Histogram] = defaultdict(Histogram)

    def add(self, name: str, amount: int = 1, **labels: str) -> None:
        """Count something that happened ``amount`` times."""
        with self._lock:
            self._counts[name, tuple(sorted(labels.items()))] += amount

    def observe(self, name: str, seconds: float) -> None:
        """Count something that took so long."""
        with self._lock:
            self._histograms[name].add(seconds)

    def counts(self) -> Mapping[tuple[str, Labels], int]:
        """Return all that was counted by ``add``."""
        with self._lock:
            return dict(self._counts)

    def histogram(self, name: str) -> tuple[list[int], float]:
        """Return the counts between the bounds, and the sum in seconds."""
        with self._lock:
            found = self._histograms[name]
            return list(found.counts), found.sum


#: One per process, as what is counted.
COUNTERS = Counters()
