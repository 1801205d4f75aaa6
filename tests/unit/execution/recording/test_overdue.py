"""Lost dispatches are looked for seldom, soon again where many are lost, and in no hurry beside a full queue."""

from __future__ import annotations

import logging

import pytest

from agent.execution.recording.overdue import MORE, PERIOD, OverdueLooks
from tests.unit.fakes.clock import FakeClock


@pytest.fixture
def looks(clock: FakeClock) -> OverdueLooks:
    return OverdueLooks(clock.monotonic)


def test_the_first_look_is_at_once_and_the_next_after_the_period(looks: OverdueLooks, clock: FakeClock) -> None:
    assert looks.is_due()
    looks.found(0, 2)
    assert looks.patience == PERIOD
    clock.sleep(PERIOD * 0.9)
    assert not looks.is_due()
    clock.sleep(PERIOD * 0.2)
    assert looks.is_due()


def test_where_as_many_are_found_as_slots_are_free_the_next_look_is_soon(
    looks: OverdueLooks, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for found in (2, 2, 1):
        assert looks.is_due()
        looks.found(found, 2)
        clock.sleep(MORE)
    assert looks.patience > MORE
    assert [record.getMessage().split(" executions")[0] for record in caplog.records] == ["found 5"]


def test_beside_a_queue_that_is_not_empty_nothing_is_taken_in_a_hurry(
    looks: OverdueLooks, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    taken = 0
    for _ in range(round(60 / MORE)):
        looks.heard()
        if looks.is_due():
            looks.found(2, 2)
            taken += 2
        clock.sleep(MORE)
    assert taken <= 2 * (60 / PERIOD + 1)


def test_what_came_before_a_look_does_not_keep_the_next_from_being_soon(looks: OverdueLooks, clock: FakeClock) -> None:
    looks.heard()
    assert looks.is_due()
    looks.found(2, 2)
    clock.sleep(MORE)
    assert looks.is_due()
