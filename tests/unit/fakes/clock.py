"""Time that passes only when a test says so."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class FakeClock:
    """Seconds since the test began, and the time of day that goes with them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        """As ``time.monotonic``."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """As ``time.sleep``, at once."""
        self.pauses.append(seconds)
        self.seconds += seconds

    def now(self) -> datetime:
        """The time of day."""
        return START + timedelta(seconds=self.seconds)


class FakeEvent(threading.Event):
    """An event whose waits pass time on a clock instead of waiting; ``sets_after`` waits it is set."""

    def __init__(self, clock: FakeClock, *, sets_after: int | None = None) -> None:
        super().__init__()
        self._clock = clock
        self._left = sets_after

    def wait(self, timeout: float | None = None) -> bool:
        """Let ``timeout`` seconds pass unless the event is set."""
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self.set()
        if not self.is_set():
            assert timeout is not None, "this wait would have no end"
            self._clock.sleep(timeout)
        return self.is_set()
