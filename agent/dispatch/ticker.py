"""Run something again and again in a thread: when it is woken, when its time has come, and never twice at once."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from agent.errors import AgentError

log = logging.getLogger(__name__)

_AFTER_ERROR = 1.0


class Ticker:
    """The body of one periodic part. ``run_once`` returns how many seconds to wait at most before the next time."""

    def __init__(self, name: str, run_once: Callable[[], float], *, longest_rest: float = 0.0) -> None:
        """``name`` is what the logs call it.

        Where each wake-up is one small thing of many, a rest lets them come together: after each time as long as that
        took, at most ``longest_rest`` seconds. Whoever wakes it out of a longer sleep does not wait.
        """
        self._name = name
        self._run_once = run_once
        self._longest_rest = longest_rest
        self._condition = threading.Condition()
        self._due = math.inf
        self._stopping = False
        self.last_success: float | None = None

    def wake(self, *, within: float = 0.0) -> None:
        """Run within so many seconds. From any thread."""
        due = time.monotonic() + within
        with self._condition:
            if due < self._due:
                self._due = due
                self._condition.notify()

    def stop(self) -> None:
        """End ``run`` after what is under way. From any thread."""
        with self._condition:
            self._stopping = True
            self._condition.notify()

    def run(self) -> None:
        """Run until ``stop``. An error that may pass is logged once, and tried again."""
        failing = False
        while not self._stopping:
            self._due = math.inf  # who wakes it from now on may be too late for this time
            began = time.monotonic()
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
            if pause > 0:
                ended = time.monotonic()
                self._sleep(ended + min(ended - began, self._longest_rest), ended + pause)

    def _sleep(self, earliest: float, latest: float) -> None:
        with self._condition:
            self._due = min(self._due, latest)
            while not self._stopping:
                left = max(self._due, earliest) - time.monotonic()
                if left <= 0:
                    return
                self._condition.wait(left)
