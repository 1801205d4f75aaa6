"""SIGTERM and SIGINT become events: the first asks for a drain, the second says that there is no time for one."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from agent.threads import ThreadGroup

_STOPPING = (signal.SIGTERM, signal.SIGINT)
#: Signals within so many seconds are one request: timeout(1) sends its own to the process, and again to its group.
TOGETHER = 0.2


class StopSignals:
    """While entered, signals only set events; afterwards the previous handlers are back.

    A thread reads the signals' numbers from the pipe that Python's C-level handler writes to, and sets the events.
    Python-level handlers could not be trusted with that. They run in the main thread between two of its bytecodes: in
    the middle of ``Event.wait`` they would wait for a lock that their own thread holds, and when the main thread is
    just about to sleep they do not run until something else wakes it.
    """

    def __init__(self) -> None:
        """Start with no signal received."""
        self.stop = threading.Event()
        self.hurry = threading.Event()
        self._threads = ThreadGroup()
        self._previous: dict[int, Any] = {}
        self._previous_wakeup = -1
        self._write_end = -1

    def __enter__(self) -> StopSignals:
        """Install the handlers; only the main thread can."""
        read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        self._threads.start("signals", lambda: self._listen(read_end))
        self._previous_wakeup = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in _STOPPING:
            self._previous[number] = signal.signal(number, _leave_to_the_pipe)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore what was there."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_wakeup)
        os.close(self._write_end)
        self._threads.join(1.0)

    def _listen(self, read_end: int) -> None:
        asked = -math.inf  # who has set the event before was no signal
        with os.fdopen(read_end, "rb", buffering=0) as pipe:
            while received := pipe.read(64):
                for number in received:
                    if number not in _STOPPING:
                        continue
                    if not self.stop.is_set():
                        asked = time.monotonic()
                        self.stop.set()
                    elif time.monotonic() >= asked + TOGETHER:
                        self.hurry.set()


def _leave_to_the_pipe(number: int, frame: FrameType | None) -> None:
    """Without a Python-level handler there would be no C-level one that writes to the pipe."""
