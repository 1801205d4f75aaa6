"""What the dispatcher decides: what is taken back, what is tried again, what has waited long enough."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agent.dispatch.fleet import Fleet, reserve
from agent.dispatch.recall import Unclaimed, decide
from agent.dispatch.retry import BACKOFF, may_retry
from agent.placement.candidate import Candidate
from agent.placement.choice import Room
from agent.placement.demand import Demand


def worker(number: int, in_hand: int = 0, *, slots: int = 2, guarded: bool = True, **changes: Any) -> Candidate:
    values: dict[str, Any] = {
        "id": number,
        "name": f"w{number}",
        "status": "active",
        "cordoned": False,
        "cordon_reason": None,
        "heartbeat_age": 1.0,
        "capabilities": {"max_concurrent_executions": slots, "guarded_claim": guarded},
        "in_hand": in_hand,
    }
    return Candidate(**values | changes)


def decision(age: float, *workers: Candidate, of: int | None = 1, scheduled: int = 1) -> str:
    fleet = Fleet(workers, {1: scheduled})
    one = Unclaimed(7, of, datetime.now(UTC), age, Demand())
    return decide(one, fleet, Room(workers, reserve), recall_after=1.0, scheduled_timeout=300.0)


FULL, FREE = worker(1, 3), worker(2, 0)


@pytest.mark.parametrize(
    ("age", "workers", "expected"),
    [
        (0.5, (FULL, FREE), "keep"),
        (1.5, (FULL, FREE), "recall"),
        (1.5, (FULL, worker(2, 2)), "keep"),
        (1.5, (FULL,), "keep"),
        (241.0, (FULL,), "recall"),
        (6.0, (worker(1, 1),), "recall"),
        (4.0, (worker(1, 1),), "keep"),
        (0.1, (worker(1, 1, status="busy"), worker(2, 2)), "recall"),
        (0.1, (worker(1, 1, status="busy"),), "keep"),
        (0.1, (worker(1, 1, status="inactive"), worker(2, 2)), "recall"),
        (5.0, (worker(1, 1, status="inactive"),), "keep"),
        (95.0, (worker(1, 1, status="inactive"),), "recall"),
        (5.0, (worker(1, 1, heartbeat_age=91.0), FREE), "recall"),
        (100.0, (worker(1, 1, guarded=False), FREE), "keep"),
        (301.0, (worker(1, 1, guarded=False), FREE), "fail"),
        (5.0, (worker(1, 1, guarded=False, status="busy"), FREE), "keep"),
        (5.0, (worker(1, 1, guarded=False, status="inactive"), FREE), "recall"),
        (1.5, (FULL, worker(2, 0, cordoned=True)), "keep"),
    ],
)
def test_what_is_taken_back(age: float, workers: tuple[Candidate, ...], expected: str) -> None:
    assert decision(age, *workers) == expected


def test_a_worker_that_is_unknown_has_nothing() -> None:
    assert decision(0.1, FREE, of=None) == "recall"
    assert decision(0.1, FREE, of=99) == "recall"


def test_no_more_is_taken_back_than_there_are_free_slots() -> None:
    workers = (worker(1, 5), worker(2, 1))
    fleet, room = Fleet(workers, {1: 3}), Room(workers, reserve)
    rows = [Unclaimed(n, 1, datetime.now(UTC), 2.0, Demand()) for n in range(3)]
    found = [decide(one, fleet, room, recall_after=1.0, scheduled_timeout=300.0) for one in rows]
    assert found == ["recall", "keep", "keep"]


def test_a_worker_that_runs_whatever_it_gets_has_no_reserve() -> None:
    assert (reserve(worker(1, guarded=False)), reserve(worker(1)), reserve(worker(1, slots=20))) == (0, 2, 10)


@pytest.mark.parametrize("cause", ["exit", "signal", "timeout", "oom", "environment_failed"])
def test_what_may_pass_is_tried_again(cause: str) -> None:
    assert may_retry("failed", cause)
    assert not may_retry("abandoned", cause)
    assert may_retry("abandoned", "worker_lost", also_abandoned=True)
    assert not may_retry("cancelled", cause, also_abandoned=True)


@pytest.mark.parametrize(
    "cause", ["cancelled", "invalid", "unmet_constraint", "secret_unavailable", "unschedulable", None]
)
def test_what_is_the_same_each_time_is_not(cause: str | None) -> None:
    assert not may_retry("failed", cause)


def test_each_attempt_waits_twice_as_long_and_ten_minutes_at_most() -> None:
    for attempt, seconds in ((0, 10), (1, 20), (2, 40), (5, 320), (6, 600), (100, 600)):
        assert seconds <= BACKOFF.pause(attempt) <= 1.1 * seconds
