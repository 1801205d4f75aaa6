"""One child from its preparation to its end, in a thread of its own; what happens is told to who started it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.errors import AgentError, InvalidExecution
from agent.execution.secrets.masking import Masker, MaskingStream
from agent.process.cancellation import CancellationToken
from agent.process.group import kill_group
from agent.process.guardian import Guardian
from agent.process.job_limits import JobLimits
from agent.process.job_mark import JobMark
from agent.process.request import Ending, ProcessOutcome, ProcessRequest
from agent.process.supervisor import run
from agent.sensors.excerpt import Excerpt
from agent.sensors.log_writing import SensorLog, SensorLogs
from agent.sensors.model import Sensor
from agent.sensors.sensor_preparation import PreparedSensor, SensorPreparer
from agent.sensors.sensor_variables import MARK

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Started:
    """The child runs; ``sensor`` is as it was told of it."""

    child: Child
    sensor: Sensor
    pid: int


@dataclass(frozen=True)
class Refused:
    """Nothing was started: it can't run here as it is, or for now where ``passing``."""

    child: Child
    reason: str
    passing: bool


@dataclass(frozen=True)
class NotNeeded:
    """Nothing was started: nobody needs it any longer."""

    child: Child


@dataclass(frozen=True)
class Ended:
    """The child has ended, and so has all that it had started."""

    child: Child
    outcome: ProcessOutcome
    excerpt: str | None


Report = Started | Refused | NotNeeded | Ended


@dataclass(frozen=True)
class ChildSite:
    """What all children of a service are run with; ``owner`` names the service in their mark."""

    preparer: SensorPreparer
    logs: SensorLogs
    guardian: Guardian
    limits: JobLimits
    owner: str


class Child:
    """The body of one thread."""

    def __init__(self, sensor: Sensor, site: ChildSite, report: Callable[[Report], None], *, score: int | None) -> None:
        """Start nothing yet; ``score`` marks its processes beside their environment."""
        self.sensor = sensor
        self.score = score
        self._site = site
        self._report = report
        self._stop = CancellationToken()
        self._pid = 0

    def stop(self, *, grace: float | None = None) -> None:
        """Ask it to end; kill it ``grace`` seconds later, by default five."""
        self._stop.cancel(Ending.SHUTDOWN, grace=grace)

    def kill(self) -> None:
        """Give it no time to end; one that is not asked to end yet is."""
        self.stop(grace=0.0)
        if self._pid:
            kill_group(self._pid)

    def run(self) -> None:
        """Run to the end; always ends with a report."""
        try:
            self._report(self._run())
        except Exception as error:  # noqa: BLE001 - the row must say what happened, whatever it was
            log.error("sensor %s: %s", self.sensor.ref, "".join(traceback.format_exception(error)))
            self._report(Refused(self, f"internal error of the service: {type(error).__name__}: {error}", passing=True))
        finally:
            self._stop.close()

    def _run(self) -> Report:
        sensor = self.sensor
        mark = f"{self._site.owner}.{sensor.id}"
        try:
            prepared = self._site.preparer.prepare(sensor.id, mark, self._stop, self._tell)
        except InvalidExecution as error:
            return Refused(self, _sentence(error), passing=False)
        except (AgentError, OSError) as error:
            return Refused(self, _sentence(error), passing=True)
        if prepared is None:
            return NotNeeded(self)
        try:
            outcome, excerpt = self._supervise(prepared, JobMark(f"{MARK}={mark}", self.score))
        finally:
            self._site.preparer.done(prepared)
        if outcome.ending is Ending.SPAWN_FAILED:
            return Refused(self, outcome.reason, passing=False)
        return Ended(self, outcome, excerpt)

    def _supervise(self, prepared: PreparedSensor, mark: JobMark) -> tuple[ProcessOutcome, str | None]:
        masker = Masker((prepared.token,))
        excerpt = Excerpt()
        sensor = prepared.sensor
        out, err = (
            self._site.logs.writer(sensor.ref, stream, sensor.log_policy, sensor.log_limit)
            for stream in ("stdout", "stderr")
        )
        streams = _Stream(MaskingStream(masker), out), _Stream(MaskingStream(masker), err, excerpt)

        def started(pid: int) -> None:
            self._pid = pid
            self._site.guardian.watch(pid)
            self._report(Started(self, prepared.sensor, pid))

        request = ProcessRequest(
            argv=prepared.argv,
            env=prepared.env,
            cwd=prepared.cwd,
            stdin=b"",
            timeout=None,
            stdout=streams[0].feed,
            stderr=streams[1].feed,
            mark=mark,
            limits=replace(self._site.limits, cpu_seconds=None),  # it runs for as long as it is needed
            started=started,
        )
        try:
            outcome = run(request, self._stop)
        finally:
            pid, self._pid = self._pid, 0
            if pid:
                self._site.guardian.forget(pid)
            for stream in streams:
                stream.finish()
        return outcome, excerpt.text()

    def _tell(self, line: str) -> None:
        log.info("sensor %s: %s", self.sensor.ref, line)


class _Stream:
    """One output stream on its way into its log, masked."""

    def __init__(self, masking: MaskingStream, log_: SensorLog, excerpt: Excerpt | None = None) -> None:
        self._masking = masking
        self._log = log_
        self._excerpt = excerpt

    def feed(self, chunk: bytes) -> None:
        self._keep(self._masking.feed(chunk))

    def finish(self) -> None:
        self._keep(self._masking.finish())
        self._log.close()

    def _keep(self, data: bytes) -> None:
        if self._excerpt is not None:
            self._excerpt.feed(data)
        self._log.write(data)


def _sentence(error: Exception) -> str:
    hint = error.hint if isinstance(error, AgentError) else None
    return f"{error} ({hint})" if hint else str(error)
