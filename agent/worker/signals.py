"""SIGTERM and SIGINT become events: the first asks for a drain, the second says that there is no time for one."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """While entered, the handlers only set events; afterwards the previous handlers are back."""

    def __init__(self) -> None:
        """Start with no signal received."""
        self.stop = threading.Event()
        self.hurry = threading.Event()
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        """Install the handlers; only the main thread can."""
        for number in _STOPPING:
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore what was there."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.stop.is_set():
            self.hurry.set()
        self.stop.set()
