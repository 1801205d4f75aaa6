"""Waiting for what must happen. The limits are only there to give up: nothing here says how fast anything is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Seconds after which a test gives up; far more than a busy machine needs.
PATIENCE = 120.0


def until(condition: Callable[[], object], what: str = "it", timeout: float = PATIENCE) -> None:
    """Wait until ``condition`` is true; ``what`` names it."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout:g} s"
        time.sleep(0.01)


@contextmanager
def not_for_ever(limit: float = PATIENCE) -> Iterator[None]:
    """Fail when the block waited for something that lasts ten minutes, as the children of tests do."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < limit, f"it took more than {limit:g} s"


def calls(function: Callable[[], object]) -> int:
    """Return how many functions ``function`` calls, itself and C's included: its cost, whatever the machine does."""
    count = 0

    def note(frame: object, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count
