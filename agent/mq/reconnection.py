"""When to try again after a connection was lost, and one line of log for each change, not for each attempt."""

from __future__ import annotations

import logging
import time

from agent.backoff import Backoff
from agent.counters import COUNTERS

log = logging.getLogger(__name__)

BACKOFF = Backoff(0.1, 4.0, spread=(0.5, 1.0))
_STABLE_SECONDS = 5.0


class Reconnection:
    """The ups and downs of one connection. For one thread."""

    def __init__(self, name: str, place: str) -> None:
        """``name`` is the connection's, ``place`` what it leads to; both for the log."""
        self._name = name
        self._place = place
        self._attempts = 0
        self._was_up = False
        self._up_since: float | None = None
        self._down_since: float | None = None

    def up(self) -> None:
        """Note that the connection works."""
        self._up_since = time.monotonic()
        if not self._was_up:
            log.info("%s: connected to %s", self._name, self._place)
        elif self._down_since is not None:
            seconds = self._up_since - self._down_since
            log.info("%s: connected to %s again after %.1f s", self._name, self._place, seconds)
            COUNTERS.add("attune_worker_reconnects_total", connection=self._name)
        self._was_up, self._down_since = True, None

    def down(self, why: str) -> float:
        """Note that it was lost or could not be made; return how many seconds to wait before the next attempt.

        The first pause is short; they double up to four seconds and are spread by half, so that a fleet doesn't come
        back at the same instant. One that breaks soon after it was made counts as an attempt that failed.
        """
        now = time.monotonic()
        stable = self._up_since is not None and now - self._up_since >= _STABLE_SECONDS
        self._attempts = 0 if stable else self._attempts + 1
        self._up_since = None
        if self._down_since is None:
            self._down_since = now
            log.warning("%s: no connection to %s: %s; trying again", self._name, self._place, why)
        else:
            log.debug("%s: still no connection to %s: %s", self._name, self._place, why)
        return BACKOFF.pause(self._attempts)
