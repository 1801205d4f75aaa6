"""A sensor that this service has the lock of, or a child of: its life, and the row that says how it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from agent.process.request import Ending
from agent.sensors.child import Child, Ended, NotNeeded, Refused, Report, Started
from agent.sensors.life import STATUS, Exit, Life, Phase
from agent.sensors.model import ProcessRow, Sensor

log = logging.getLogger(__name__)

#: From this failure in a row on an alert is raised.
_ALERT_FROM = 3
#: The part of its token's life after which a child that can't renew it is started again.
_RENEW_AT = 0.8

Alert = Callable[[ProcessRow, float], None]
"""Told of a row that has failed again, and of the seconds to its next attempt."""


class Member:
    """For the manager's thread; ``why`` may be set by another. ``unwritten``: the row is not in the database yet."""

    def __init__(self, sensor: Sensor, score: int | None, *, alerted: int, token_lifetime: float, alert: Alert) -> None:
        """Begin with no child. ``score`` marks its processes; ``alerted`` is the failure last alerted of."""
        self.sensor = sensor
        self.score = score
        self.life = Life()
        self.child: Child | None = None
        self.why: str | None = None
        self.unwritten = True
        self.row = ProcessRow(
            sensor.id,
            sensor.ref,
            "stopped",
            active_rule_count=sensor.rules,
            last_alerted_failure_count=alerted,
        )
        self._token_lifetime = token_lifetime
        self._alert = alert

    def is_to_be(self, sensor: Sensor, now: float) -> None:
        """Note what is wanted of it now."""
        self.sensor = sensor
        self._change(active_rule_count=sensor.rules)
        self.life.want(sensor.told, now)

    def begin(self, child: Child, now: float) -> None:
        """Note that a child is being prepared."""
        self.life.starting(now)
        self.child, self.why = child, None

    def take(self, report: Report, now: float) -> None:
        """Note what the child tells."""
        if isinstance(report, Started):
            self._started(report, now)
            return
        self.child = None
        asked = self.life.phase is Phase.STOPPING
        if isinstance(report, Ended):
            self._ended(report, now, asked=asked or report.outcome.ending is Ending.SHUTDOWN)
        elif isinstance(report, Refused) and not asked:
            self._refused(report, now)
        else:
            self.life.stopped()
            if isinstance(report, NotNeeded):
                self.life.want(None, now)
        self.note()

    def note(self) -> None:
        """Bring the row up to what is true."""
        phase = self.life.phase
        if phase is not Phase.STOPPING:
            self._change(reason=self.why)
        if phase is not Phase.WAITING:
            self._change(next_restart_at=None, consecutive_failures=self.life.failures)
        if phase not in (Phase.RUNNING, Phase.STOPPING):
            self._change(pid=None)
        self._change(status=STATUS[phase])

    def _started(self, report: Started, now: float) -> None:
        if self.life.phase is not Phase.STOPPING:
            renew = None if report.sensor.follows_rules else now + _RENEW_AT * self._token_lifetime
            self.life.running(report.sensor.told, now, renew_at=renew)
        log.info("sensor %s runs", self.sensor.ref, extra={"sensor": self.sensor.ref, "pid": report.pid})
        self._change(
            status="running",
            pid=report.pid,
            last_started_at=datetime.now(UTC),
            last_exit_code=None,
            last_signal=None,
            next_restart_at=None,
            stderr_excerpt=None,
            reason=None,
            told=report.sensor.told.digest,
        )

    def _ended(self, report: Ended, now: float, *, asked: bool) -> None:
        outcome = report.outcome
        self._change(
            pid=None,
            last_stopped_at=datetime.now(UTC),
            last_exit_code=outcome.exit_code,
            last_signal=outcome.signal,
            stderr_excerpt=report.excerpt,
        )
        if asked:
            self.life.stopped()
            return
        how = f"exit code {outcome.exit_code}" if outcome.signal is None else f"signal {outcome.signal}"
        log.warning("sensor %s ended by itself: %s", self.sensor.ref, outcome.reason or how)
        self.why = f"it ended by itself: {outcome.reason or how}"
        self.life.ended(Exit(outcome.exit_code, outcome.signal), now)
        self._failed(now)

    def _refused(self, report: Refused, now: float) -> None:
        log.warning("sensor %s can't be started: %s", self.sensor.ref, report.reason)
        self.why = report.reason
        self._change(pid=None, told=self.life.told.digest if self.life.told else None)
        if report.passing:
            self.life.ended(Exit(None), now)
            self._failed(now)
        else:
            self.life.refused()

    def _failed(self, now: float) -> None:
        if self.life.phase is not Phase.WAITING:
            return
        failures, pause = self.life.failures, self.life.until - now
        alerted = self.row.last_alerted_failure_count if failures > 1 else 0
        self._change(
            consecutive_failures=failures,
            next_restart_at=datetime.now(UTC) + timedelta(seconds=pause),
            last_alerted_failure_count=alerted,
            reason=self.why,
        )
        if failures >= _ALERT_FROM and failures > alerted:
            self._change(last_alerted_failure_count=failures)
            self._alert(replace(self.row, status="backoff"), pause)

    def _change(self, **columns: object) -> None:
        row = replace(self.row, **columns)  # type: ignore[arg-type]
        if row != self.row:
            self.row, self.unwritten = row, True
