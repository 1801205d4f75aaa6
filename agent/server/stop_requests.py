"""Signals that ask the server to end, from its first moment to its last."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable

log = logging.getLogger(__name__)

_HURRIED = 75
"""The exit code after a second signal; the agent's too."""


class StopRequests:
    """The first one drains, the second one ends the process at once."""

    def __init__(self) -> None:
        """Nobody has asked, and nothing is to be drained yet."""
        self.asked = False
        self.drain: Callable[[], None] = lambda: None

    def listen(self) -> None:
        """Be told of signals, not killed by them: as PID 1 they would be ignored. For the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self.take())

    def take(self) -> None:
        """Note one signal."""
        if self.asked:
            # A handler in a thread can't be interrupted. What it has not committed is undone, the rest is in rows.
            log.warning("asked to stop a second time: leaving at once")
            os._exit(_HURRIED)
        self.asked = True
        self.drain()
