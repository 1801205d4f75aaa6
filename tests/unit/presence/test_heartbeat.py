"""Beats come at their interval, sooner after one that failed, and end when another process has the worker's place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from agent.errors import DatabaseUnavailable
from agent.presence import heartbeat as heartbeat_module
from agent.presence.heartbeat import Heartbeat
from agent.presence.registration import Registration
from tests.unit.fakes.clock import FakeClock, FakeEvent


class FakeRegistration(Registration):
    """Answers each beat with the next of ``answers``: ``mine``, ``theirs`` or ``away``."""

    def __init__(self, clock: FakeClock, answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.beats: list[float] = []
        self.active: list[bool] = []
        self.written: list[int | None] = []
        self._clock = clock

    def beat(self, *, restore_active: Callable[[], bool], unannounced: int | None = None) -> bool:
        self.written.append(unannounced)
        self.beats.append(self._clock.seconds)
        self.active.append(restore_active())
        answer = self.answers.pop(0)
        if answer == "away":
            raise DatabaseUnavailable("nobody answers")
        return answer == "mine"


class Beating:
    """A heartbeat of 10 s that has run until its answers were used up."""

    def __init__(self, clock: FakeClock, *answers: str, interval: float = 10.0) -> None:
        self.registration = FakeRegistration(clock, answers)
        self.lost = 0
        self.noted: list[int | None] = []
        self.heartbeat = Heartbeat(
            self.registration,
            interval=interval,
            restore_active=lambda: True,
            unannounced=lambda: int(clock.seconds),
            note=self.noted.append,
            on_lost=self._on_lost,
            stopping=FakeEvent(clock, sets_after=len(answers)),
        )
        self.heartbeat.run()

    def _on_lost(self) -> None:
        self.lost += 1


@pytest.fixture(autouse=True)
def _time(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    monkeypatch.setattr(heartbeat_module, "time", clock)


def test_it_beats_at_its_interval(clock: FakeClock) -> None:
    beating = Beating(clock, "mine", "mine", "mine")
    assert beating.registration.beats == [10, 20, 30]
    assert beating.registration.active == [True] * 3
    assert beating.lost == 0


def test_since_when_messages_wait_is_written_with_each_beat_and_on_disk_only_while_none_is_taken(
    clock: FakeClock,
) -> None:
    beating = Beating(clock, "mine", "away", "mine")
    assert beating.registration.written == [10, 20, 22]
    assert beating.noted == [None, 20, None]


def test_after_a_failed_beat_it_tries_again_sooner_until_one_succeeds(clock: FakeClock) -> None:
    assert Beating(clock, "mine", "away", "away", "mine", "mine").registration.beats == [10, 20, 22, 24, 34]


def test_a_short_interval_is_no_longer_after_a_failure(clock: FakeClock) -> None:
    assert Beating(clock, "away", "mine", interval=1.0).registration.beats == [1, 2]


def test_it_says_once_that_the_database_is_away_and_for_how_long_it_was(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    Beating(clock, "mine", "away", "away", "mine", "mine", "away")
    away, back, away_again = (record.getMessage() for record in caplog.records)
    assert "nobody answers" in away
    assert "14 s" in back
    assert "nobody answers" in away_again


def test_the_last_success_is_known(clock: FakeClock) -> None:
    assert Beating(clock, "mine", "away", "away").heartbeat.last_success == 10


def test_another_process_in_its_place_is_told_once_and_ends_it(clock: FakeClock) -> None:
    beating = Beating(clock, "mine", "away", "theirs", "mine")
    assert beating.registration.beats == [10, 20, 22]
    assert beating.lost == 1


def test_stopped_it_does_not_beat_again(clock: FakeClock) -> None:
    beating = Beating(clock)
    assert beating.registration.beats == []
    beating.heartbeat.stop()
    beating.heartbeat.run()
    assert (beating.registration.beats, beating.noted) == ([], [])
