"""Run something again and again in a thread: when it is woken, when its time has come, and never twice at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from agent.errors import AgentError

log = logging.getLogger(__name__)

_AFTER_ERROR = 1.0


class Ticker:
    """The body of one periodic part. ``run_once`` returns how many seconds to wait at most before the next time."""

    def __init__(self, name: str, run_once: Callable[[], float]) -> None:
        """``name`` is what the logs call it."""
        self._name = name
        self._run_once = run_once
        self._bell = threading.Event()
        self._stopping = False
        self.last_success: float | None = None

    def wake(self) -> None:
        """Run soon. From any thread."""
        self._bell.set()

    def stop(self) -> None:
        """End ``run`` after what is under way. From any thread."""
        self._stopping = True
        self._bell.set()

    def run(self) -> None:
        """Run until ``stop``. An error that may pass is logged once, and tried again."""
        failing = False
        while not self._stopping:
            self._bell.clear()
            try:
                pause = self._run_once()
                self.last_success = time.monotonic()
                if failing:
                    log.info("%s works again", self._name)
                failing = False
            except AgentError as error:
                if not failing:
                    log.error("%s failed and is tried again: %s", self._name, error)
                failing = True
                pause = _AFTER_ERROR
            if pause > 0 and not self._stopping:
                self._bell.wait(pause)
