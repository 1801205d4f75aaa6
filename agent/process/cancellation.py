"""Ask a running child to end, from any thread: the first cause wins and is what the outcome names."""

from __future__ import annotations

import os
import threading

from agent.process import syscalls
from agent.process.request import Ending


class CancellationToken:
    """The one way to end one run early. Its descriptor becomes readable when ``cancel`` was called."""

    def __init__(self) -> None:
        """Open the descriptor that wakes the runner."""
        self._lock = threading.Lock()
        self._fd = syscalls.event()
        self._cause: Ending | None = None
        self._grace: float | None = None
        self._closed = False

    def cancel(self, cause: Ending, *, grace: float | None = None) -> bool:
        """Ask for the end because of ``cause``; False when the run is over or somebody asked before.

        ``grace`` is the seconds from interrupt to kill, where the run's own are not meant.
        """
        with self._lock:
            if self._closed or self._cause is not None:
                return False
            self._cause, self._grace = cause, grace
            os.eventfd_write(self._fd, 1)
            return True

    @property
    def cause(self) -> Ending | None:
        """What was asked for, if anything was."""
        return self._cause

    @property
    def grace(self) -> float | None:
        """The seconds from interrupt to kill that were asked for, if any were."""
        return self._grace

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._fd

    def close(self) -> Ending | None:
        """Refuse further requests and return the cause that was accepted before, if any."""
        with self._lock:
            if not self._closed:
                self._closed = True
                syscalls.close(self._fd)
            return self._cause
