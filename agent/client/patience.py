"""How long a command waits for a server that is away, and how often it asks again."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.errors import AgentError

LONGEST, RETRY = 60.0, 0.5
"""Seconds that a server may stay away while somebody waits, and between attempts."""


class Patience:
    """Counts from the last sign of life; ``clock`` and ``rest`` are in seconds."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, rest: Callable[[float], None] = time.sleep
    ) -> None:
        """Begin now."""
        self._clock = clock
        self._rest = rest
        self._since = clock()

    def renew(self) -> None:
        """Note a sign of life."""
        self._since = self._clock()

    def wait(self, error: AgentError, pause: float = RETRY) -> None:
        """Wait a little after ``error``; raise it when that has gone on for too long."""
        if self._clock() - self._since > LONGEST:
            raise error
        self._rest(pause)
