"""When dispatches came in and which trace they belong to, until their executions begin."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from typing import NamedTuple

#: More are in hand only when something else is wrong; those that came first are forgotten.
_MOST = 10_000
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


class Arrival(NamedTuple):
    """``at`` is a moment of the monotonic clock; ``traceparent`` as W3C Trace Context writes it."""

    at: float
    traceparent: str | None


class Arrivals:
    """For any thread."""

    def __init__(self) -> None:
        """Know none yet."""
        self._lock = threading.Lock()
        self._arrivals: OrderedDict[int, Arrival] = OrderedDict()

    def add(self, execution_id: int, traceparent: object) -> None:
        """Note a dispatch; what is no ``traceparent`` is none. A second delivery changes nothing."""
        trace = traceparent if type(traceparent) is str and _TRACEPARENT.fullmatch(traceparent) else None
        with self._lock:
            self._arrivals.setdefault(execution_id, Arrival(time.monotonic(), trace))
            if len(self._arrivals) > _MOST:
                self._arrivals.popitem(last=False)

    def take(self, execution_id: int) -> Arrival | None:
        """Return what is known of an execution that begins, and forget it."""
        with self._lock:
            return self._arrivals.pop(execution_id, None)
