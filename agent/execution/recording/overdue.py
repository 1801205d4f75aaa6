"""When to look in the database for executions whose dispatches must be lost (pure but for the log)."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds between two looks.
PERIOD = 10.0
#: Seconds until the next look where the last one found as many as there were free slots: a queue may have been deleted.
MORE = 0.2


class OverdueLooks:
    """The looks of one worker. For one thread.

    What waits long in a queue is overdue, too, and its dispatch is on its way: as long as dispatches come, nothing is
    taken from the database in a hurry, since each would be claimed there and refused when it comes.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Look first at once; ``clock`` counts seconds."""
        self._clock = clock
        self._next = 0.0
        self._hurries = False
        self._heard = False
        self._found = 0

    @property
    def patience(self) -> float:
        """The seconds until the next look."""
        return max(0.0, self._next - self._clock())

    def heard(self) -> None:
        """Note that a dispatch came from the broker."""
        self._heard = True

    def is_due(self) -> bool:
        """Whether to look now; if so, ``found`` is told what was found."""
        if self.patience > 0:
            return False
        self._next = self._clock() + PERIOD
        needless = self._hurries and self._heard
        self._hurries = self._heard = False
        if needless:
            self._tell()
        return not needless

    def found(self, number: int, wanted: int) -> None:
        """Note that ``number`` were found where ``wanted`` slots are free."""
        self._found += number
        if number == wanted:
            self._hurries = True
            self._next = self._clock() + MORE
        else:
            self._tell()

    def _tell(self) -> None:
        if self._found:
            log.warning("found %d executions scheduled here whose dispatches have not come", self._found)
        self._found = 0
