"""The machine that the figures came from, and how much of it the figures had."""

from __future__ import annotations

import os
import platform

#: Where the time that a hypervisor gave to others stands in the first line of /proc/stat (proc(5)).
_STEAL = 7


def description() -> str:
    """Return cores, kernel and Python."""
    return f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


class StolenTime:
    """How much of the processors' time the host has given to others since this was made: figures suffer from it."""

    def __init__(self) -> None:
        """Start now."""
        self._before = _times()

    @property
    def share(self) -> float:
        """Between 0 and 1; 0 on a machine that is not virtual."""
        passed = [now - before for before, now in zip(self._before, _times(), strict=True)]
        return passed[_STEAL] / max(1, sum(passed))


def _times() -> list[int]:
    with open("/proc/stat", encoding="ascii") as stat:
        return [int(field) for field in stat.readline().split()[1:9]]
