"""No claims while they could not be announced or started, and none after a drain began: dispatches wait or go back."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

import pytest

from agent.mq.broker import MAX_BACKLOG
from agent.process import syscalls
from tests.unit.fakes.journal import Journal
from tests.unit.fakes.publisher import FakePublisher
from tests.unit.fakes.store import FakeStore, Trouble
from tests.unit.fakes.worker import FakeWorker


def test_nothing_is_claimed_while_the_broker_is_behind(
    worker: FakeWorker, store: FakeStore, publisher: FakePublisher
) -> None:
    store.add(1)
    publisher.more = MAX_BACKLOG // 2 + 1
    delivery = worker.dispatch(1)[0]
    worker.elapse(10)
    assert (worker.assigned, delivery.settled, store.rows[1].status) == ({}, None, "scheduled")
    publisher.confirm()
    worker.elapse(1)
    assert (list(worker.assigned), delivery.settled) == ([1], "acknowledged")


def test_half_a_backlog_is_no_reason_to_wait(worker: FakeWorker, store: FakeStore, publisher: FakePublisher) -> None:
    store.add(1)
    publisher.more = MAX_BACKLOG // 2
    worker.dispatch(1)
    worker.go()
    assert list(worker.assigned) == [1]


def test_ends_are_written_and_announced_while_the_broker_is_behind(
    worker: FakeWorker, store: FakeStore, publisher: FakePublisher, journal: Journal
) -> None:
    store.add(1, 2)
    worker.dispatch(1)
    worker.go()
    publisher.more = MAX_BACKLOG // 2 + 1
    worker.dispatch(2)
    worker.end(1)
    worker.go()
    assert store.rows[1].status == "completed"
    assert journal.ids("announced", "completion of completed") == [1]
    assert worker.assigned == {}


def test_a_broker_that_is_behind_is_not_asked_without_pause(
    worker: FakeWorker, store: FakeStore, publisher: FakePublisher
) -> None:
    store.add(1)
    publisher.more = MAX_BACKLOG // 2 + 1
    worker.dispatch(1)
    worker.go()
    assert worker.coordinator.patience() == pytest.approx(0.2)


def test_lost_dispatches_are_looked_for_with_pauses_while_the_broker_is_behind(
    worker: FakeWorker, store: FakeStore, publisher: FakePublisher
) -> None:
    store.add(1)
    publisher.more = MAX_BACKLOG // 2 + 1
    worker.elapse(60)
    assert worker.assigned == {}
    publisher.confirm()
    worker.elapse(30)
    assert list(worker.assigned) == [1]


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many more cancellation tokens this process can open: an item each."""
    left: list[int] = []
    real = syscalls.event

    def event() -> int:
        if not left:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        left.pop()
        return real()

    monkeypatch.setattr(syscalls, "event", event)
    return left


def test_without_descriptors_dispatches_wait_in_order_and_nothing_is_claimed(
    worker_with: Callable[[int], FakeWorker], store: FakeStore, journal: Journal, descriptors: list[int]
) -> None:
    worker = worker_with(3)
    store.add(1, 2, 3)
    descriptors[:] = [0, 0]  # for two of three
    deliveries = worker.dispatch(1, 2, 3)
    worker.elapse(5)
    assert (worker.assigned, len(worker.running)) == ({}, 0)
    assert [delivery.settled for delivery in deliveries] == [None] * 3
    assert store.calls == []
    descriptors[:] = [0] * 9
    worker.elapse(1)
    assert journal.ids("assigned") == [1, 2, 3]
    assert journal.ids("acknowledged") == [1, 2, 3]


def test_ends_are_written_without_descriptors(
    worker: FakeWorker, store: FakeStore, journal: Journal, descriptors: list[int]
) -> None:
    store.add(1, 2)
    descriptors[:] = [0]
    worker.dispatch(1)
    worker.go()
    worker.dispatch(2)
    worker.end(1)
    worker.elapse(1)
    assert journal.ids("announced", "completion of completed") == [1]
    assert (worker.assigned, store.rows[2].status) == ({}, "scheduled")


def test_a_lack_of_descriptors_is_said_once_and_again_after_it_was_over(
    worker: FakeWorker, store: FakeStore, descriptors: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    store.add(1, 2)
    worker.dispatch(1)
    worker.elapse(5)
    assert caplog.text.count("raise the limit of open files") == 1
    descriptors[:] = [0]
    worker.elapse(1)
    worker.dispatch(2)
    worker.elapse(5)
    assert caplog.text.count("raise the limit of open files") == 2


def test_a_lack_of_descriptors_is_not_looked_at_without_pause(
    worker: FakeWorker, store: FakeStore, descriptors: list[int]
) -> None:
    store.add(1)
    worker.dispatch(1)
    worker.go()
    assert worker.coordinator.patience() == pytest.approx(0.2)


def test_a_drain_returns_what_is_not_claimed_in_order(
    worker_with: Callable[[int], FakeWorker], store: FakeStore
) -> None:
    worker = worker_with(1)
    store.add(1, 2, 3)
    deliveries = worker.dispatch(1, 3, 2)
    worker.go()
    assert worker.drain_deliveries() == [(3, deliveries[1]), (2, deliveries[2])]
    assert [delivery.settled for delivery in deliveries] == ["acknowledged", None, None]


def test_a_drain_claims_nothing_of_what_has_just_arrived(worker: FakeWorker, store: FakeStore) -> None:
    store.add(1)
    worker.dispatch(1)
    assert worker.drain() == [1]
    worker.elapse(5)
    assert (worker.assigned, store.rows[1].status) == ({}, "scheduled")


def test_what_arrives_after_a_drain_goes_back_at_once(worker: FakeWorker, store: FakeStore) -> None:
    store.add(1)
    worker.drain()
    late = worker.dispatch(1)[0]
    worker.go()
    assert (late.settled, store.rows[1].status, worker.assigned) == ("returned", "scheduled", {})


def test_what_runs_may_end_after_a_drain_began_and_frees_no_slot_for_others(
    worker_with: Callable[[int], FakeWorker], store: FakeStore, journal: Journal
) -> None:
    worker = worker_with(1)
    store.add(1, 2)
    worker.dispatch(1, 2)
    worker.go()
    worker.drain()
    worker.end(1)
    worker.elapse(5)
    assert journal.ids("announced", "completion of completed") == [1]
    assert (worker.assigned, store.rows[2].status) == ({}, "scheduled")
    assert worker.coordinator.settled(0)


def test_a_drain_waits_for_what_is_in_doubt_no_longer_than_it_is_told(worker: FakeWorker, store: FakeStore) -> None:
    store.add(1)
    store.troubles.append(Trouble.LOST)
    worker.dispatch(1)
    worker.go()
    assert worker.coordinator.drain(0) in ([], [(1, worker.deliveries[0])])


def test_more_lost_dispatches_than_slots_are_found_one_after_the_other_without_a_long_wait(
    worker: FakeWorker, store: FakeStore
) -> None:
    store.add(*range(1, 8))
    worker.elapse(21)
    began = worker.clock.seconds
    for _ in range(3):
        assert len(worker.assigned) == worker.slots == 2
        worker.end(*list(worker.assigned))
        worker.elapse(0.5)
    assert list(worker.assigned) == [7]
    assert worker.clock.seconds - began < 2
