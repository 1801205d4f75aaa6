"""One sensor's life: started when wanted, started again when told otherwise, given time after failures, given up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sensors.life import ASKS_AGAIN, HEALTHY, LONGEST_BURST, SETTLE, Due, Exit, Life, Phase
from agent.sensors.model import Told

TOLD = Told("run.sh", 1, "", "{}", ("watch.it",), "", "rules-0")


def told(number: int) -> Told:
    return replace(TOLD, rules=f"rules-{number}")


def running(at: float = 0.0, *, renew_at: float | None = None) -> Life:
    life = Life()
    life.want(TOLD, at)
    assert life.due(at) is Due.START
    life.starting(at)
    life.running(TOLD, at, renew_at=renew_at)
    return life


def test_what_is_wanted_is_started_at_once_and_once() -> None:
    life = Life()
    assert life.due(0.0) is None
    life.want(TOLD, 0.0)
    assert life.due(0.0) is Due.START
    life.starting(0.0)
    assert life.due(100.0) is None


def test_a_burst_of_changes_is_one_restart() -> None:
    life, now, stops = running(), 0.0, 0
    for number in range(1, 101):
        now = number * 0.05
        life.want(told(number), now)
        stops += life.due(now) is Due.STOP
    assert stops == 0
    assert life.due(now + SETTLE - 0.01) is None
    assert life.due(now + SETTLE + 0.01) is Due.STOP
    life.stopping()
    life.stopped()
    assert life.due(now + 1) is Due.START
    life.starting(now + 1)
    life.running(told(100), now + 1)
    assert life.due(now + 100) is None


def test_a_burst_without_an_end_is_not_waited_for() -> None:
    life = running()
    now = 0.0
    while life.due(now) is None:
        now += SETTLE / 2
        life.want(told(round(now * 100) + 1), now)
    assert LONGEST_BURST <= now <= LONGEST_BURST + 2 * SETTLE


def test_a_change_that_is_taken_back_restarts_nothing() -> None:
    life = running()
    life.want(told(1), 1.0)
    life.want(TOLD, 1.1)
    assert life.due(50.0) is None


def test_what_the_child_was_really_told_counts() -> None:
    life = Life()
    life.want(TOLD, 0.0)
    life.starting(0.0)
    life.want(told(1), 0.1)
    life.running(told(1), 0.2)  # it was prepared after the change
    assert life.due(10.0) is None


def test_a_change_during_the_preparation_is_a_restart() -> None:
    life = Life()
    life.want(TOLD, 0.0)
    life.starting(0.0)
    life.running(TOLD, 0.1)
    life.want(told(1), 0.2)
    assert life.due(0.2 + SETTLE + 0.01) is Due.STOP


def test_what_is_wanted_no_more_ends_and_is_over() -> None:
    life = running()
    life.want(None, 5.0)
    assert life.due(5.0 + SETTLE + 0.01) is Due.STOP
    life.stopping()
    assert not life.over
    life.stopped()
    assert life.over


@pytest.mark.parametrize(("failures", "pause"), [(1, 5.0), (2, 10.0), (3, 20.0), (6, 160.0), (7, 300.0), (40, 300.0)])
def test_the_pause_doubles_up_to_five_minutes(failures: int, pause: float) -> None:
    life, now = running(), 0.0
    for number in range(failures):
        life.ended(Exit(0), now)
        assert (life.phase, life.failures) == (Phase.WAITING, number + 1)
        now = life.until
        if number < failures - 1:
            assert life.due(now) is Due.START
            life.starting(now)
            life.running(TOLD, now)
    assert life.until == pytest.approx((now - pause) + pause)
    assert life.due(now - 0.01) is None


def test_health_forgets_failures() -> None:
    life = running()
    for _ in range(4):
        life.ended(Exit(1), 0.0)
        life.starting(0.0)
        life.running(TOLD, 0.0)
    life.ended(Exit(1), HEALTHY + 1)
    assert (life.failures, life.until) == (1, HEALTHY + 6)


def test_a_child_that_asks_for_another_gets_one_at_once_when_it_was_healthy() -> None:
    life = running()
    life.ended(Exit(ASKS_AGAIN), HEALTHY)
    assert (life.due(HEALTHY), life.failures) == (Due.START, 0)
    life.starting(HEALTHY)
    life.running(TOLD, HEALTHY)
    life.ended(Exit(ASKS_AGAIN), HEALTHY + 1)
    assert (life.due(HEALTHY + 1), life.failures) == (None, 1)


def test_another_definition_ends_the_wait() -> None:
    life = running()
    for _ in range(5):
        life.ended(Exit(1), 0.0)
        life.starting(0.0)
    life.ended(Exit(1), 0.0)
    life.want(told(1), 1.0)
    assert life.due(1.0 + SETTLE) is Due.START
    assert life.failures == 0


def test_a_sensor_that_is_not_needed_while_it_waits_is_over() -> None:
    life = running()
    life.ended(Exit(1), 0.0)
    life.want(None, 1.0)
    assert life.due(1.0) is None
    assert life.over


def test_what_can_not_run_here_is_over() -> None:
    life = Life()
    life.want(TOLD, 0.0)
    life.starting(0.0)
    life.refused()
    assert life.over
    assert life.due(1000.0) is None


def test_a_token_that_the_child_can_not_renew_is_renewed_by_a_restart() -> None:
    life = running(renew_at=80.0)
    assert life.due(79.9) is None
    assert life.due(80.0) is Due.STOP


@given(
    st.lists(st.tuples(st.sampled_from(["want", "unwant", "tick", "end", "refuse"]), st.integers(0, 3)), max_size=60)
)
def test_whatever_happens_there_is_one_child_at_most_and_the_end_is_what_is_wanted(
    history: list[tuple[str, int]],
) -> None:
    life, now, children = Life(), 0.0, 0

    def act() -> None:
        nonlocal children
        due = life.due(now)
        if due is Due.START:
            assert children == 0
            children = 1
            life.starting(now)
            life.running(life.wanted or TOLD, now)
        elif due is Due.STOP:
            assert children == 1
            life.stopping()
            children = 0
            life.stopped()

    for what, number in history:
        now += number
        if what == "want":
            life.want(told(number), now)
        elif what == "unwant":
            life.want(None, now)
        elif what == "end" and children:
            children = 0
            life.ended(Exit(number), now)
        elif what == "refuse" and children:
            children = 0
            life.refused()
            return
        act()
    for _ in range(3):
        now += 400.0
        act()
    assert children == (life.wanted is not None)
    assert life.over == (life.wanted is None)
    if children:
        assert life.told == life.wanted
