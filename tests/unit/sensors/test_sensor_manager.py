"""The manager's turns: what it starts, whom it tells, what its rows say, and what it does when the database is away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.sensors.claiming import TAKEOVER
from agent.sensors.model import ProcessRow, Sensor
from agent.sensors.sensor_manager import HOLD, LOST_GRACE, SensorManager
from tests.unit.fakes.clock import FakeClock
from tests.unit.fakes.sensors import FakeChild, FakeLockSession, FakeSensorStore, NoThreads
from tests.unit.sensors.test_claiming import SENSOR, service

ME = 1


class Stage:
    """A manager among fakes."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeSensorStore(self.clock, ME)
        self.session = FakeLockSession(self.clock)
        self.children: list[FakeChild] = []
        self.alerts: list[tuple[ProcessRow, float]] = []
        self.store.fleet = [service(ME)]
        self.manager = SensorManager(
            self.store,
            self.session,
            self._child,
            NoThreads(),
            me=ME,
            only=(),
            interval=10.0,
            token_lifetime=1000.0,
            scores=[None] * 10,
            alert=lambda row, pause: self.alerts.append((row, pause)),
            clock=self.clock.monotonic,
        )

    def _child(self, sensor: Sensor, report: object, score: int | None) -> FakeChild:
        child = FakeChild(sensor, report, score)  # type: ignore[arg-type]
        assert all(other.over for other in self.children if other.sensor.id == sensor.id), "two at the same time"
        self.children.append(child)
        return child

    def turns(self, seconds: float = 0.0, *, noticed: bool = True) -> None:
        """Take turns for some seconds, and at least a few; ``noticed``: beginning with a change."""
        until = self.clock.seconds + seconds
        if noticed:
            self.manager.changed()
        for _ in range(4):
            self.manager.turn()
        while self.clock.seconds < until:
            self.manager.turn()

    def running(self, sensor: Sensor = SENSOR) -> FakeChild:
        """Let a sensor be wanted and run."""
        self.store.sensors[sensor.id] = sensor
        self.turns()
        child = self.children[-1]
        child.starts()
        self.turns(noticed=False)
        return child

    @property
    def row(self) -> ProcessRow:
        return self.store.rows[SENSOR.id]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_wanted_sensor_is_locked_started_and_said_to_run(stage: Stage) -> None:
    stage.running()
    assert stage.session.held == {SENSOR.id}
    assert (stage.row.status, stage.row.pid, stage.row.active_rule_count) == ("running", 4711, 1)
    assert stage.manager.counts() == {
        "sensor_processes_monitored": 1,
        "sensor_processes_running": 1,
        "active_rules": 1,
    }


def test_the_lock_is_given_back_after_the_row_says_that_nothing_runs(stage: Stage) -> None:
    child = stage.running()
    stage.store.sensors.clear()
    stage.turns(1.0)
    assert child.asked == 5.0
    assert stage.session.held == {SENSOR.id}
    stage.store.away = True
    child.ends(signal=15, code=None)
    stage.turns(2.0)
    assert stage.session.held == {SENSOR.id}
    stage.store.away = False
    stage.turns(2.0)
    assert (stage.row.status, stage.row.pid, stage.session.held) == ("stopped", None, set())


def test_failures_are_counted_spaced_and_told_of_from_the_third_on(stage: Stage) -> None:
    child = stage.running()
    pauses = []
    for number in range(1, 6):
        child.ends(3, excerpt=f"failure {number}")
        stage.turns(noticed=False)
        assert (stage.row.status, stage.row.consecutive_failures) == ("backoff", number)
        assert (stage.row.last_exit_code, stage.row.stderr_excerpt) == (3, f"failure {number}")
        assert stage.row.next_restart_at is not None
        assert stage.row.last_stopped_at is not None
        pauses.append(round((stage.row.next_restart_at - stage.row.last_stopped_at).total_seconds()))
        stage.turns(pauses[-1] + 1, noticed=False)
        child = stage.children[-1]
        child.starts()
        stage.turns(noticed=False)
    assert pauses == [5, 10, 20, 40, 80]
    assert [(row.consecutive_failures, round(pause)) for row, pause in stage.alerts] == [(3, 20), (4, 40), (5, 80)]
    assert stage.row.last_alerted_failure_count == 5
    assert stage.alerts[0][0].status == "backoff"


def test_what_can_not_run_here_is_said_and_left_to_others(stage: Stage) -> None:
    stage.store.sensors[SENSOR.id] = SENSOR
    stage.turns()
    stage.children[-1].is_refused("no interpreter")
    stage.turns(noticed=False)
    assert (stage.row.status, stage.row.reason, stage.session.held) == ("failed", "no interpreter", set())

    stage.turns(50.0)
    assert len(stage.children) == 1
    stage.turns(15.0)
    assert len(stage.children) == 2


def test_what_may_pass_is_tried_again_here(stage: Stage) -> None:
    stage.store.sensors[SENSOR.id] = SENSOR
    stage.turns()
    stage.children[-1].is_refused("no token", passing=True)
    stage.turns(noticed=False)
    assert (stage.row.status, stage.row.reason, stage.session.held) == ("backoff", "no token", {SENSOR.id})
    stage.turns(6.0, noticed=False)
    assert len(stage.children) == 2


def test_a_lock_that_somebody_else_has_taken_ends_the_child(stage: Stage) -> None:
    child = stage.running()
    stage.session.others, stage.session.lost = {SENSOR.id}, True
    stage.turns(noticed=False)
    assert child.asked is not None
    child.ends(signal=15, code=None)
    stage.turns(60.0)
    assert len(stage.children) == 1
    assert stage.row.status == "stopped"


def test_without_an_answer_the_children_end_before_anybody_may_take_their_locks(stage: Stage) -> None:
    child = stage.running()
    stage.store.away = stage.session.away = True
    before = stage.clock.seconds
    while child.asked is None:
        stage.turns(noticed=False)
        stage.manager.end_without_answer()
    assert stage.clock.seconds - before <= HOLD + 2
    assert HOLD + LOST_GRACE < TAKEOVER
    assert child.asked == LOST_GRACE
    child.ends(signal=15, code=None)
    stage.turns(30.0, noticed=False)
    assert len(stage.children) == 1

    stage.store.away = stage.session.away = False
    stage.turns(30.0)
    assert len(stage.children) == 2


def test_a_restart_of_the_database_within_that_time_ends_nothing(stage: Stage) -> None:
    child = stage.running()
    stage.store.away = stage.session.away = True
    stage.turns(HOLD - 3, noticed=False)
    stage.manager.end_without_answer()
    stage.session.lost = True
    stage.store.away = stage.session.away = False
    stage.turns(30.0)
    stage.manager.end_without_answer()
    assert child.asked is None
    assert stage.session.held == {SENSOR.id}


def test_a_stop_ends_all_children_at_once_and_says_so(stage: Stage) -> None:
    first = stage.running()
    second = stage.running(replace(SENSOR, id=2, ref="watch.other"))
    stage.manager.stop()
    stage.turns(noticed=False)
    assert (first.asked, second.asked) == (5.0, 5.0)
    first.ends(signal=15, code=None)
    second.ends(signal=15, code=None)
    stage.turns(noticed=False)
    assert {row.status for row in stage.store.rows.values()} == {"stopped"}
    assert stage.session.held == set()


def test_a_sensor_that_fits_nowhere_is_said_to_until_it_does(stage: Stage) -> None:
    stage.store.sensors[SENSOR.id] = replace(SENSOR, selector={"zone": "moon"})
    stage.turns()
    assert (stage.row.status, stage.row.reason) == ("failed", "has no label zone (required: moon)")
    stage.store.sensors[SENSOR.id] = SENSOR
    stage.turns()
    stage.children[-1].starts()
    stage.turns(noticed=False)
    assert (stage.row.status, stage.row.reason) == ("running", None)


def test_a_token_is_renewed_by_a_restart_unless_the_sensor_renews_it_itself(stage: Stage) -> None:
    first = stage.running()
    second = stage.running(replace(SENSOR, id=2, ref="watch.self", config={"reload": "self"}))
    stage.turns(801.0, noticed=False)
    assert first.asked is not None
    assert second.asked is None
