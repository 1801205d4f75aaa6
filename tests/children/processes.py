"""Looking at processes from outside."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path


def living(belongs: Callable[[str, str], bool]) -> list[str]:
    """The processes whose ``(pid, process group)`` belong, zombies aside."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = stat.read_text().rpartition(")")
            state, _, group = rest.split()[:3]
            if state not in "ZX" and belongs(stat.parent.name, group):
                found.append(name)
    return found


def wait_until_gone(belongs: Callable[[str, str], bool], seconds: float = 5.0) -> list[str]:
    """Return what still lives after ``seconds``: a killed process takes a moment to die."""
    deadline = time.monotonic() + seconds
    while (left := living(belongs)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left
