"""The time of day by the database: one for all servers and workers, whose own clocks may be set differently."""

from __future__ import annotations

import time
from collections.abc import Callable


class DatabaseClock:
    """Told the time now and then; meanwhile it goes on with a clock that nobody sets. For any thread."""

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, own: Callable[[], float] = time.time
    ) -> None:
        """Until it was told anything it says what the machine's ``own`` clock says."""
        self._monotonic = monotonic
        self._own = own
        self._ahead: float | None = None

    def tell(self, moment: float) -> None:
        """Take note of what the database says now, in Unix seconds."""
        self._ahead = moment - self._monotonic()

    def now(self) -> float:
        """Return Unix seconds."""
        return self._own() if self._ahead is None else self._monotonic() + self._ahead
