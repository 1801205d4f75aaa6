"""What the dispatcher remembers of the demands of what waits, however many rounds it takes to look at all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agent.dispatch import waiting as module
from agent.dispatch.waiting import Fits, Waiting
from agent.placement.candidate import Candidate
from agent.placement.demand import Demand

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_demand_has_waited_when_nobody_fitted_for_the_whole_time() -> None:
    waiting = Waiting(60.0)

    def walk(now: float, *unfit: tuple[int, str]) -> list[tuple[int, str]]:
        late = waiting.update(unfit, now)
        waiting.end_walk()
        return late

    assert walk(0.0, (1, "a")) == []
    assert walk(59.0, (1, "a"), (2, "b")) == []
    assert walk(60.0, (1, "a"), (2, "b")) == [(1, "a")]
    assert walk(61.0, (2, "b")) == []
    assert walk(62.0, (1, "a")) == []
    assert len(waiting) == 1
    assert Waiting(0.0).update([(1, "a")], 0.0) == [(1, "a")]


def test_a_demand_is_not_forgotten_while_others_are_looked_at() -> None:
    waiting = Waiting(60.0)
    for now in (0.0, 30.0, 60.0):
        late = waiting.update([(1, "a")], now), waiting.update([(2, "b")], now + 1)
        waiting.end_walk()
    assert late == ([(1, "a")], [(2, "b")])


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of workers that were compared with a demand."""
    names: list[str] = []
    lacks = module.lacks

    def counted(demand: Demand, worker: Candidate) -> list[str]:
        names.append(worker.name)
        return lacks(demand, worker)

    monkeypatch.setattr(module, "lacks", counted)
    return names


def worker(number: int, zone: str) -> Candidate:
    return Candidate(number, f"w{number}", "active", False, None, 1.0, {"labels": {"zone": zone}})


def test_a_worker_is_compared_again_when_its_row_or_the_demand_changed_and_not_before(compared: list[str]) -> None:
    fits = Fits()
    near, far = worker(1, "near"), worker(2, "far")

    def walk(zone: str, near_changed: datetime = BEGIN) -> list[str]:
        found = fits.among((1, "a"), Demand(selector={"zone": zone}), [(near, near_changed), (far, BEGIN)])
        fits.end_walk()
        compared.append("|")
        return [one.name for one in found]

    assert walk("near") == walk("near") == ["w1"]
    assert walk("near", BEGIN + timedelta(seconds=30)) == ["w1"]
    assert walk("far", BEGIN + timedelta(seconds=30)) == ["w2"]
    assert "".join(compared) == "w1w2||w1|w1w2|"


def test_a_demand_that_a_whole_walk_did_not_meet_is_forgotten(compared: list[str]) -> None:
    fits = Fits()
    for _ in range(2):
        fits.among((1, "a"), Demand(), [(worker(1, "near"), BEGIN)])
        fits.end_walk()
        fits.end_walk()
    assert compared == ["w1", "w1"]
