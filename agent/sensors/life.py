"""One sensor's life in one service: when its child is started, stopped, started again, given up (pure).

::

    idle ──▶ starting ──▶ running ──▶ stopping ──▶ idle
                │            │ ends by itself
                │            ▼
                │         waiting ──▶ starting
                ▼
             refused                                  nothing can start it here as it is

Times are seconds from any one origin, given by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.backoff import Backoff
from agent.sensors.model import Told

#: Seconds without a further change before a child is stopped or started again because of one, and the longest that
#: changes which don't end are waited for: a burst is one restart.
SETTLE, LONGEST_BURST = 0.3, 10.0
#: Seconds after which a child counts as healthy: failures before are forgotten.
HEALTHY = 60.0
#: Seconds before the next attempt after a failure.
BACKOFF = Backoff(5.0, 300.0)
#: The exit code with which a child asks for another one in its place: with a new token, say.
ASKS_AGAIN = 75


class Phase(StrEnum):
    """Where a life is."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    WAITING = "waiting"
    REFUSED = "refused"


class Due(StrEnum):
    """What is to be done now."""

    START = "start"
    STOP = "stop"


#: What the row of each phase says.
STATUS = {
    Phase.IDLE: "stopped",
    Phase.STARTING: "starting",
    Phase.RUNNING: "running",
    Phase.STOPPING: "running",
    Phase.WAITING: "backoff",
    Phase.REFUSED: "failed",
}


@dataclass(frozen=True)
class Exit:
    """How a child ended by itself; ``code`` is None where a signal or its start ended it."""

    code: int | None
    signal: int | None = None


class Life:
    """The caller tells what has happened and does what is ``due``; nothing here waits or does I/O."""

    def __init__(self, failures: int = 0) -> None:
        """Begin with no child, and the failures in a row of an earlier one."""
        self.phase = Phase.IDLE
        self.wanted: Told | None = None
        self.told: Told | None = None
        self.failures = failures
        self.until = 0.0
        self.renew_at: float | None = None
        self.started_at = 0.0
        self._changed_at = 0.0
        self._differs_since: float | None = None

    @property
    def over(self) -> bool:
        """Whether nothing runs, is wanted or waited for."""
        return self.phase is Phase.REFUSED or (self.phase is Phase.IDLE and self.wanted is None)

    def want(self, told: Told | None, now: float) -> None:
        """Note what a child should be told; None: none is wanted."""
        if told == self.wanted:
            return
        self.wanted = told
        self._changed_at = now
        if self.phase is Phase.WAITING and told is not None and told != self.told:
            self.failures, self.until = 0, now + SETTLE  # what failed was something else
        self._compare(now)

    def due(self, now: float) -> Due | None:
        """Return what is to be done; the caller does it, and tells."""
        at = self.due_at()
        if at is None or now < at:
            return None
        if self.phase in (Phase.STARTING, Phase.RUNNING):
            return Due.STOP
        if self.wanted is None:
            self.phase = Phase.IDLE
            return None
        return Due.START

    def due_at(self) -> float | None:
        """Return when something will be due, unless something happens before; None: never."""
        if self.phase is Phase.IDLE:
            return None if self.wanted is None else 0.0
        if self.phase is Phase.WAITING:
            return 0.0 if self.wanted is None else self.until
        if self.phase not in (Phase.STARTING, Phase.RUNNING):
            return None
        times = [] if self.renew_at is None else [self.renew_at]
        if self._differs_since is not None:
            times.append(min(self._changed_at + SETTLE, self._differs_since + LONGEST_BURST))
        return min(times, default=None)

    def starting(self, now: float) -> None:
        """Note that a child is being prepared, with what is wanted now."""
        assert self.phase in (Phase.IDLE, Phase.WAITING), "only one at a time"
        self.phase, self.told, self.renew_at = Phase.STARTING, self.wanted, None
        self.started_at = now
        self._differs_since = None

    def running(self, told: Told, now: float, *, renew_at: float | None = None) -> None:
        """Note that the child runs, and what it was really told; at ``renew_at`` it needs a new token."""
        if self.phase is Phase.STARTING:
            self.phase = Phase.RUNNING
        self.told, self.renew_at, self.started_at = told, renew_at, now
        self._compare(now)

    def stopping(self) -> None:
        """Note that the child was asked to end."""
        self.phase = Phase.STOPPING

    def stopped(self) -> None:
        """Note that a child which was asked to end has ended."""
        self._none()
        self.phase = Phase.IDLE

    def ended(self, how: Exit, now: float) -> None:
        """Note that the child ended by itself, or could not be started this time."""
        ran = now - self.started_at if self.phase is Phase.RUNNING else 0.0
        self._none()
        if ran >= HEALTHY:
            self.failures = 0
            if how.code == ASKS_AGAIN:
                self.phase = Phase.IDLE
                return
        self.failures += 1
        self.phase, self.until = Phase.WAITING, now + BACKOFF.pause(self.failures - 1)

    def refused(self) -> None:
        """Note that it can't run here as it is: another service may be able to."""
        self._none()
        self.phase = Phase.REFUSED

    def _none(self) -> None:
        self.renew_at = self._differs_since = None

    def _compare(self, now: float) -> None:
        """Note since when what runs was told something else."""
        if self.phase not in (Phase.STARTING, Phase.RUNNING) or self.wanted == self.told:
            self._differs_since = None
        elif self._differs_since is None:
            self._differs_since = now
