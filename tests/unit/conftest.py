"""The fakes of one test, which know each other."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.fakes.clock import FakeClock
from tests.unit.fakes.journal import Journal
from tests.unit.fakes.publisher import FakePublisher
from tests.unit.fakes.store import FakeStore
from tests.unit.fakes.worker import FakeWorker

# Some thousand short tests leave little behind: looking for it as often as Python does took an eighth of their time.
gc.set_threshold(200_000, 20, 100)


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(journal: Journal, clock: FakeClock) -> FakeStore:
    return FakeStore(journal, clock)


@pytest.fixture
def publisher(journal: Journal) -> FakePublisher:
    return FakePublisher(journal)


@pytest.fixture
def worker_with(
    store: FakeStore, publisher: FakePublisher, journal: Journal, clock: FakeClock, tmp_path: Path
) -> Iterator[Callable[[int], FakeWorker]]:
    """Make a worker with so many slots; its spool is ``tmp_path / "spool"``."""
    made: list[FakeWorker] = []

    def make(slots: int) -> FakeWorker:
        made.append(FakeWorker(store, publisher, journal, clock, slots=slots, spool=tmp_path / "spool"))
        return made[-1]

    yield make
    for worker in made:
        worker.vanish()


@pytest.fixture
def worker(worker_with: Callable[[int], FakeWorker]) -> FakeWorker:
    """A worker with two slots."""
    return worker_with(2)
