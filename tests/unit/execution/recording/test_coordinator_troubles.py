"""Whatever becomes of a statement, an execution runs once, ends once and is announced as its row says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.fakes.journal import Journal
from tests.unit.fakes.publisher import FakePublisher
from tests.unit.fakes.store import FakeStore, Trouble
from tests.unit.fakes.worker import FakeWorker

LATE = Trouble.LATE
AWAY, LOST, HALF, CONFLICT, REFUSED = Trouble.AWAY, Trouble.LOST, Trouble.HALF, Trouble.CONFLICT, Trouble.REFUSED


@pytest.fixture
def busy(worker: FakeWorker, store: FakeStore) -> FakeWorker:
    """A worker in which 1 and 2 are running."""
    store.add(1, 2)
    worker.dispatch(1, 2)
    worker.go()
    return worker


@pytest.mark.parametrize("trouble", [AWAY, LOST, CONFLICT, REFUSED])
def test_a_claim_that_failed_is_tried_again_and_runs_once(
    worker: FakeWorker, store: FakeStore, journal: Journal, trouble: Trouble
) -> None:
    store.add(1)
    store.troubles.append(trouble)
    delivery = worker.dispatch(1)[0]
    worker.go()
    assert (worker.assigned, delivery.settled, len(worker.running)) == ({}, None, 0)
    worker.elapse(1)
    assert (list(worker.assigned), delivery.settled) == ([1], "acknowledged")
    assert journal.ids("announced", "running") == [1]


@pytest.mark.parametrize("trouble", [AWAY, LOST, CONFLICT])
def test_an_end_that_failed_is_tried_again_and_announced_once(
    busy: FakeWorker, store: FakeStore, journal: Journal, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    store.troubles.append(trouble)
    busy.end(1)
    busy.go()
    assert journal.ids("announced", "completion of completed") == []
    busy.elapse(1)
    assert journal.ids("ended", "completed") == [1]
    assert journal.ids("announced", "completion of completed") == [1]
    assert "another program" not in caplog.text
    assert busy.coordinator.settled(0)


def test_an_end_whose_answer_was_lost_twice_is_still_announced(
    busy: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    store.troubles += [LOST, AWAY, AWAY]
    busy.end(1)
    busy.elapse(10)
    assert journal.of(1)[-3:] == ["ended completed", "announced completed", "announced completion of completed"]
    assert journal.ids("ended", "completed") == [1]


@pytest.mark.parametrize("trouble", [LOST, HALF])
def test_claims_and_ends_in_one_lost_answer_are_both_found_again(
    busy: FakeWorker, store: FakeStore, journal: Journal, trouble: Trouble
) -> None:
    store.add(3)
    store.rows[2].allocates = True  # its end takes a second transaction
    store.troubles.append(trouble)
    busy.dispatch(3)
    busy.end(1, 2)
    busy.elapse(1)
    assert list(busy.assigned) == [3]
    assert journal.ids("assigned") == [1, 2, 3]
    assert sorted(journal.ids("announced", "completion of completed")) == [1, 2]
    assert store.rows[3].status == "running"


def test_only_a_claim_in_doubt_may_find_its_row_running(worker: FakeWorker, store: FakeStore, journal: Journal) -> None:
    """Another life's execution has this worker's name, too."""
    store.add(1)
    store.add(2, status="running")
    store.troubles.append(LOST)
    worker.dispatch(1)
    worker.go()
    worker.dispatch(2)
    worker.elapse(1)
    assert list(worker.assigned) == [1]
    # The doubt is over: a dispatch that comes late doesn't start what runs.
    worker.end(1)
    store.rows[1].status = "running"
    worker.go()
    store.rows[1].status = "running"
    worker.dispatch(1)
    worker.elapse(1)
    assert journal.ids("assigned") == [1]


def test_a_second_delivery_of_what_has_ended_but_is_not_written_does_not_run_again(
    worker_with: Callable[[int], FakeWorker], store: FakeStore, journal: Journal
) -> None:
    worker = worker_with(2)
    store.add(1)
    store.troubles.append(LOST)
    worker.dispatch(1)
    worker.elapse(1)
    store.troubles_of["record"] = [AWAY, AWAY]
    worker.end(1)
    worker.go()
    second = worker.dispatch(1)[0]
    worker.elapse(5)
    assert second.settled == "acknowledged"
    assert journal.ids("assigned") == [1]
    assert store.rows[1].status == "completed"


def test_while_the_database_is_away_dispatches_keep_their_order_and_nothing_is_settled(
    worker: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    store.add(1, 2, 3)
    store.away = True
    deliveries = worker.dispatch(1, 2, 3)
    worker.elapse(30)
    assert [delivery.settled for delivery in deliveries] == [None] * 3
    store.away = False
    worker.elapse(5)
    assert journal.ids("assigned") == [1, 2]


def test_what_is_claimed_but_not_announced_is_announced_although_the_database_went_away(
    worker_with: Callable[[int], FakeWorker], store: FakeStore, journal: Journal
) -> None:
    worker = worker_with(2)
    store.add(1)
    worker.dispatch(1)
    worker.coordinator.run_once(0)
    store.away = True
    worker.end(1)
    worker.go()
    assert journal.of(1) == ["claimed", "assigned", "announced running", "acknowledged"]


def test_a_claim_whose_action_could_not_be_read_is_assigned_later(
    worker: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    store.add(1)
    worker.dispatch(1)
    store.troubles_of["load_actions"] = [AWAY]
    worker.go()
    assert worker.assigned == {}
    worker.elapse(1)
    assert journal.ids("assigned") == [1]
    assert store.rows[1].claims == 1


def test_results_are_on_disk_while_they_can_not_be_written(busy: FakeWorker, store: FakeStore, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    store.away = True
    busy.end(1)
    busy.elapse(5)
    assert [file.name for file in spool.iterdir()] == ["1.json"]
    store.away = False
    busy.elapse(5)
    assert list(spool.iterdir()) == []


def test_a_result_that_the_server_refuses_holds_up_no_other(
    busy: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    store.unstorable = {1}
    store.add(3)
    busy.dispatch(3)
    busy.end(1, 2)
    busy.elapse(5)
    assert (store.rows[1].status, store.rows[2].status, list(busy.assigned)) == ("failed", "completed", [3])
    assert store.rows[1].result is not None
    assert "the result could not be stored" in store.rows[1].result["error"]
    assert store.rows[1].result["cause"] == "invalid"
    assert journal.ids("announced", "completion of failed") == [1]
    assert journal.ids("announced", "completion of completed") == [2]
    assert busy.coordinator.settled(0)


def test_what_was_written_before_another_result_was_refused_is_announced_as_it_is(
    busy: FakeWorker, store: FakeStore, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    store.rows[2].allocates = True  # its end comes in a second transaction, after that of the other
    store.unstorable = {2}
    busy.end(1, 2)
    busy.elapse(5)
    assert journal.ids("announced", "completion of completed") == [1]
    assert journal.ids("announced", "completion of failed") == [2]
    assert "execution 1 was ended by" not in caplog.text


def test_a_result_is_not_replaced_because_of_a_conflict(busy: FakeWorker, store: FakeStore) -> None:
    store.troubles += [CONFLICT] * 3
    busy.end(1)
    busy.elapse(5)
    assert store.rows[1].status == "completed"


def test_a_replaced_result_whose_answer_was_lost_is_announced_once(
    busy: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    store.unstorable = {1}
    busy.end(1)
    store.troubles_of["record"] = [None, None, LOST]
    busy.elapse(5)
    assert store.rows[1].status == "failed"
    assert journal.ids("announced", "completion of failed") == [1]
    assert busy.coordinator.settled(0)


def test_a_server_that_refuses_everything_costs_no_result(busy: FakeWorker, store: FakeStore, tmp_path: Path) -> None:
    store.troubles_of["record"] = [REFUSED] * 9
    busy.end(1)
    busy.go()
    assert not busy.coordinator.settled(0)
    assert (tmp_path / "spool/1.json").exists()
    busy.elapse(30)
    assert busy.coordinator.settled(0)
    assert store.rows[1].status in ("completed", "failed")


def test_it_says_once_that_the_database_is_away_and_once_that_it_is_back(
    busy: FakeWorker, store: FakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    store.away = True
    busy.end(1)
    busy.elapse(30)
    store.away = False
    busy.elapse(30)
    assert caplog.text.count("no executions are claimed") == 1
    assert caplog.text.count("the database is back") == 1


def test_it_tries_again_soon_and_then_every_two_seconds(busy: FakeWorker, store: FakeStore) -> None:
    store.away = True
    busy.end(1)
    busy.elapse(60)
    tries = store.calls.count("already_finished")
    assert 28 <= tries <= 35


def test_a_cancellation_before_the_start_survives_a_lost_answer(
    worker: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    store.add(1, status="canceling")
    worker.dispatch(1)
    store.troubles_of["cancel_unstarted"] = [LOST]
    worker.elapse(5)
    assert journal.ids("ended", "cancelled") == [1]
    assert journal.ids("announced", "completion of cancelled") == [1]


def test_stopped_it_leaves_on_disk_what_is_not_written(
    busy: FakeWorker, store: FakeStore, publisher: FakePublisher, tmp_path: Path
) -> None:
    busy.end(1)
    busy.leave()
    assert (tmp_path / "spool/1.json").exists()
    assert not (tmp_path / "spool/2.json").exists()


def test_an_end_that_is_committed_while_it_is_written_again_is_announced(
    busy: FakeWorker, store: FakeStore, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    store.troubles_of["record"] = [LATE]
    busy.end(1)
    busy.elapse(5)
    assert journal.ids("ended", "completed") == [1]
    assert journal.ids("announced", "completion of completed") == [1]
    assert busy.coordinator.settled(0)
    assert "another program" not in caplog.text


def test_one_of_somebody_elses_that_meets_an_end_in_doubt_stands(
    busy: FakeWorker, store: FakeStore, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    store.troubles_of["record"] = [AWAY]
    busy.end(1)
    busy.go()
    store.end_elsewhere(1)
    busy.elapse(5)
    assert store.rows[1].status == "abandoned"
    assert journal.ids("announced", "completion of completed") == []
    assert busy.coordinator.settled(0)
    assert "execution 1 was ended by another program" in caplog.text


def test_a_drain_undoes_a_claim_in_doubt_before_its_dispatch_goes_back(
    worker: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    store.add(1)
    store.troubles_of["record"] = [LOST]
    (delivery,) = worker.dispatch(1)
    worker.go()
    assert store.rows[1].status == "running"
    assert not worker.coordinator.settled(0)
    store.troubles_of["unclaim"] = [AWAY]
    assert worker.drain() == []
    worker.elapse(5)
    assert worker.drain_deliveries() == [(1, delivery)]
    assert store.rows[1].status == "scheduled"
    assert worker.coordinator.settled(0)
    assert journal.ids("assigned") == []


def test_what_is_scheduled_for_long_is_claimed_without_a_dispatch_as_far_as_slots_are_free(
    worker: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    store.add(*range(1, worker.slots + 3))
    worker.elapse(9)
    assert journal.ids("assigned") == []
    worker.elapse(20)
    assert journal.ids("assigned") == list(range(1, worker.slots + 1))
    worker.end(1)
    worker.elapse(20)
    assert journal.ids("assigned")[-1] == worker.slots + 1
    # A dispatch that comes late runs nothing twice.
    (late,) = worker.dispatch(2)
    worker.end(worker.slots + 1)
    worker.elapse(1)
    assert late.settled == "acknowledged"
    assert journal.ids("assigned").count(2) == 1


def test_what_is_cancelled_while_its_dispatch_is_lost_is_ended(
    worker: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    store.add(1, status="canceling")
    worker.elapse(30)
    assert journal.of(1) == ["ended cancelled", "announced cancelled", "announced completion of cancelled"]


def test_what_an_earlier_life_claimed_too_late_to_be_found_at_the_start_is_abandoned_when_its_dispatch_comes(
    worker: FakeWorker, store: FakeStore, journal: Journal
) -> None:
    before = store.began - timedelta(seconds=1)
    store.add(1, status="running", started_at=before)
    store.add(2, status="running", started_at=store.began + timedelta(seconds=1))  # another process's, by now
    store.troubles_of["abandon_unknown"] = [LOST]
    worker.dispatch(1, 2)
    worker.elapse(5)
    assert (store.rows[1].status, store.rows[2].status) == ("abandoned", "running")
    assert journal.ids("announced", "completion of abandoned") == [1]
    assert journal.ids("assigned") == []
