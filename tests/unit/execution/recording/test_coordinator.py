"""The coordinator's order is the promise: a row is committed, then announced, then its dispatch is acknowledged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.fakes.journal import Journal
from tests.unit.fakes.publisher import FakePublisher
from tests.unit.fakes.store import SOMEBODY_ELSE, FakeStore
from tests.unit.fakes.worker import FakeWorker


def test_a_dispatch_is_claimed_then_started_then_announced_then_acknowledged(
    worker: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    store.add(1)
    worker.dispatch(1)
    worker.go()
    assert journal.of(1) == ["claimed", "assigned", "announced running", "acknowledged"]


def test_an_end_is_committed_then_announced(worker: FakeWorker, store: FakeStore, journal: Journal) -> None:
    store.add(1)
    worker.dispatch(1)
    worker.go()
    worker.end(1, status="failed")
    worker.go()
    assert journal.of(1)[4:] == ["ended failed", "announced failed", "announced completion of failed"]


def test_what_ends_at_once_is_still_announced_as_running_first(
    worker: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    store.add(1)
    worker.dispatch(1)
    worker.coordinator.run_once(0)
    worker.end(1)
    worker.go()
    assert [what for what in journal.of(1) if what != "acknowledged"] == [
        *("claimed", "assigned", "ended completed"),
        *("announced running", "announced completed", "announced completion of completed"),
    ]
    assert "acknowledged" in journal.of(1)


def test_one_end_and_the_next_claim_are_one_exchange_with_the_database(
    worker_with: Callable[[int], FakeWorker], store: FakeStore
) -> None:
    worker = worker_with(1)
    store.add(1, 2)
    worker.dispatch(1, 2)
    worker.go()
    before = len(store.calls)
    worker.end(1)
    worker.go()
    assert (list(worker.assigned), store.rows[1].status) == ([2], "completed")
    assert store.calls[before:] == ["record"]


def test_no_more_is_claimed_than_slots_are_free(worker: FakeWorker, store: FakeStore, journal: Journal) -> None:
    store.add(1, 2, 3, 4)
    third = worker.dispatch(1, 2, 3, 4)[2]
    worker.elapse(60)
    assert (list(worker.assigned), third.settled, store.rows[3].status) == ([1, 2], None, "scheduled")
    worker.end(2)
    worker.go()
    assert list(worker.assigned) == [1, 3]
    assert journal.ids("acknowledged") == [1, 2, 3]


def test_dispatches_are_claimed_in_the_order_in_which_they_came(
    worker_with: Callable[[int], FakeWorker], store: FakeStore, journal: Journal
) -> None:
    worker = worker_with(1)
    store.add(1, 2, 3)
    worker.dispatch(3, 1, 2)
    worker.go()
    for expected in (3, 1, 2):
        assert list(worker.assigned) == [expected]
        worker.end(expected)
        worker.go()
    assert journal.ids("announced", "running") == [3, 1, 2]


@pytest.mark.parametrize("together", [True, False])
def test_a_second_delivery_is_acknowledged_and_runs_nothing(
    worker: FakeWorker, store: FakeStore, journal: Journal, together: bool
) -> None:
    store.add(1)
    worker.dispatch(1)
    if not together:
        worker.go()
    second = worker.dispatch(1)[0]
    worker.go()
    assert second.settled == "acknowledged"
    assert journal.ids("assigned") == [1]
    assert worker.running.cancel(1)  # the first one is still in hand


def test_a_second_delivery_of_what_is_being_cancelled_leaves_its_end_to_the_slot(
    worker: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    store.add(1)
    worker.dispatch(1)
    worker.go()
    store.rows[1].status = "canceling"
    worker.running.cancel(1)
    worker.dispatch(1)
    worker.go()
    assert store.rows[1].status == "canceling"
    worker.end(1, status="cancelled")
    worker.go()
    assert journal.ids("announced", "completion of cancelled") == [1]
    assert journal.ids("ended", "cancelled") == [1]


def test_a_second_delivery_leaves_its_slot_to_others(worker: FakeWorker, store: FakeStore) -> None:
    store.add(1, 2)
    worker.dispatch(1, 1, 1, 2)
    worker.go()
    assert list(worker.assigned) == [1, 2]


@pytest.mark.parametrize(
    "columns",
    [
        {"worker": SOMEBODY_ELSE},
        {"status": "completed"},
        {"status": "running"},
        {"status": "requested", "worker": None},
    ],
)
def test_what_is_not_scheduled_here_is_acknowledged_and_left_as_it_is(
    worker: FakeWorker, store: FakeStore, journal: Journal, columns: dict[str, str]
) -> None:
    store.add(1, **columns)
    before = vars(store.rows[1]).copy()
    delivery = worker.dispatch(1)[0]
    worker.go()
    assert delivery.settled == "acknowledged"
    assert (worker.assigned, vars(store.rows[1]), len(worker.running)) == ({}, before, 0)
    assert journal.of(1) == ["acknowledged"]


def test_a_dispatch_of_nothing_is_acknowledged_and_takes_no_slot(
    worker_with: Callable[[int], FakeWorker], store: FakeStore
) -> None:
    worker = worker_with(1)
    store.add(1)
    gone = worker.dispatch(99, 1)[0]
    worker.go()
    assert (gone.settled, list(worker.assigned)) == ("acknowledged", [1])


def test_what_is_cancelled_before_its_claim_is_ended_and_announced(
    worker: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    store.add(1, status="canceling")
    worker.dispatch(1)
    worker.go()
    assert store.rows[1].status == "cancelled"
    assert journal.ids("announced", "completion of cancelled") == [1]
    assert journal.ids("assigned") == []


def test_a_cancellation_meets_what_is_about_to_be_claimed(worker: FakeWorker, store: FakeStore) -> None:
    store.add(1)
    worker.dispatch(1)
    cancelled = []
    store.during = lambda: cancelled.append(worker.running.cancel(1))
    worker.go()
    assert cancelled[0]
    assert worker.running.token_of(1).cause == "cancelled"


def test_an_action_that_is_gone_still_gets_its_slot(worker: FakeWorker, store: FakeStore) -> None:
    store.actions.clear()
    store.add(1)
    worker.dispatch(1)
    worker.go()
    assert worker.assigned[1].action is None


def test_what_has_ended_counts_as_unsettled_until_it_is_written(worker: FakeWorker, store: FakeStore) -> None:
    store.add(1)
    worker.dispatch(1)
    worker.go()
    assert worker.coordinator.settled(0)
    worker.end(1)
    assert not worker.coordinator.settled(0)
    worker.go()
    assert worker.coordinator.settled(0)


def test_an_end_of_somebody_elses_stands_and_is_not_announced_here(
    worker: FakeWorker, store: FakeStore, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    store.add(1)
    worker.dispatch(1)
    worker.go()
    store.end_elsewhere(1)
    worker.end(1)
    worker.go()
    assert store.rows[1].status == "abandoned"
    assert journal.ids("announced", "completion of completed") == []
    assert "execution 1 was ended by another program before it was completed" in caplog.text
    assert worker.coordinator.settled(0)


def test_idle_it_only_looks_for_lost_dispatches_now_and_then(worker: FakeWorker, store: FakeStore) -> None:
    store.add(1, 2, 3)
    worker.go()
    assert worker.coordinator.patience() == pytest.approx(10, abs=0.1)
    worker.dispatch(1, 2, 3)
    worker.go()
    assert worker.coordinator.patience() is None  # full: only an end changes anything


def test_the_last_claims_are_announced_when_it_ends(
    worker: FakeWorker, store: FakeStore, publisher: FakePublisher, journal: Journal
) -> None:
    store.add(1)
    worker.dispatch(1)
    worker.coordinator.run_once(0)
    worker.leave()
    assert journal.of(1)[-2:] == ["announced running", "acknowledged"]
    assert store.closed
