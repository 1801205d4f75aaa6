"""The sensor service's neighbours: a store that keeps rows, a session with locks, children that do as they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from agent.errors import DatabaseUnavailable
from agent.placement.candidate import Candidate
from agent.process.cancellation import CancellationToken
from agent.process.request import Ending, ProcessOutcome
from agent.sensors.child import Child, Ended, Refused, Report, Started
from agent.sensors.lock_session import LockSession
from agent.sensors.model import ProcessRow, Sensor
from agent.sensors.store import SensorProcess, SensorStore
from agent.threads import ThreadGroup
from tests.unit.fakes.clock import FakeClock


class FakeSensorStore(SensorStore):
    """What is wanted, who is there, and the rows that were written; ``away`` refuses everything."""

    def __init__(self, clock: FakeClock, me: int) -> None:
        self._clock = clock
        self._me = me
        self._written: dict[int, float] = {}
        self.sensors: dict[int, Sensor] = {}
        self.fleet: list[Candidate] = []
        self.said: list[SensorProcess] = []
        self.rows: dict[int, ProcessRow] = {}
        self.away = False

    def wanted(self) -> list[Sensor]:
        self._ask()
        return list(self.sensors.values())

    def services(self) -> list[Candidate]:
        self._ask()
        return self.fleet

    def processes(self, sensors: Sequence[int]) -> list[SensorProcess]:
        self._ask()
        own = [
            SensorProcess(
                *(row.sensor, self._me, row.status, row.consecutive_failures, row.last_started_at, row.last_stopped_at),
                *(row.last_alerted_failure_count, row.told, self._clock.seconds - self._written[row.sensor]),
                *("active", 1.0),
            )
            for row in self.rows.values()
        ]
        return [one for one in (*self.said, *own) if one.sensor in sensors]

    def write(self, row: ProcessRow) -> None:
        self._ask()
        self.rows[row.sensor] = row
        self._written[row.sensor] = self._clock.seconds

    def _ask(self) -> None:
        if self.away:
            raise DatabaseUnavailable("away")


class FakeLockSession(LockSession):
    """Locks of a server that ``others`` hold as well; ``lost`` ends the session, ``away`` keeps it from coming back."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock.monotonic
        self.answered = 0.0
        self.held: set[int] = set()
        self.others: set[int] = set()
        self.away = False
        self.lost = False
        self._time = clock

    def restore(self) -> set[int]:
        if self.away:
            raise DatabaseUnavailable("away")
        taken = self.held & self.others if self.lost else set()
        self.lost = False
        self.held -= taken
        return taken

    def take(self, sensor: int) -> bool:
        self._answer()
        if sensor not in self.others:
            self.held.add(sensor)
        return sensor in self.held

    def release(self, sensor: int) -> None:
        self.held.discard(sensor)

    def free(self, sensors: Iterable[int]) -> set[int]:
        self._answer()
        return set(sensors) - self.others - self.held

    def wait(self, timeout: float, wake: int) -> bool:
        self._time.seconds += max(timeout, 0.001)
        return False

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _answer(self) -> None:
        if self.away:
            raise DatabaseUnavailable("away")
        self.answered = self._time.seconds


class FakeChild(Child):
    """Runs when it is told to, and ends when it is asked to."""

    def __init__(self, sensor: Sensor, report: Callable[[Report], None], score: int | None) -> None:
        self.sensor = sensor
        self.score = score
        self._report = report
        self._stop = CancellationToken()
        self.asked: float | None = None
        self.running = False
        self.over = False

    def starts(self) -> None:
        """It runs now, as it was told when it was made."""
        self.running = True
        self._report(Started(self, self.sensor, 4711))

    def ends(self, code: int | None = 0, signal: int | None = None, excerpt: str | None = None) -> None:
        """It ends by itself, or as it was asked to."""
        ending = Ending.SHUTDOWN if self.asked is not None else Ending.EXIT if signal is None else Ending.SIGNAL
        self.running, self.over = False, True
        self._report(Ended(self, ProcessOutcome(ending, code, signal, 1.0), excerpt))

    def is_refused(self, reason: str, *, passing: bool = False) -> None:
        """It can't be started."""
        self.over = True
        self._report(Refused(self, reason, passing))

    def stop(self, *, grace: float | None = None) -> None:
        self.asked = 5.0 if grace is None else grace

    def run(self) -> None:
        pass


class NoThreads(ThreadGroup):
    """Starts nothing: the test is the thread."""

    def start(self, name: str, target: Callable[[], None]) -> None:  # type: ignore[override]
        pass
