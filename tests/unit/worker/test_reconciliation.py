"""A new life ends what the earlier one left, and announces what that one may not have announced; nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.errors import DatabaseError
from agent.execution.recording.spool import Spool
from agent.worker.reconciliation import reconcile
from tests.unit.fakes.clock import START, FakeClock
from tests.unit.fakes.journal import Journal
from tests.unit.fakes.publisher import FakePublisher
from tests.unit.fakes.store import SOMEBODY_ELSE, FakeStore, Trouble
from tests.unit.fakes.worker import report

INTERVAL = 10.0
Start = Callable[..., None]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def earlier(directory: Path) -> Spool:
    """The spool of the life before."""
    return Spool(directory)


@pytest.fixture
def start(store: FakeStore, publisher: FakePublisher, directory: Path) -> Start:
    def begin(previous_heartbeat: datetime | None = None) -> None:
        reconcile(store, publisher, Spool(directory), previous_heartbeat=previous_heartbeat, interval=INTERVAL)

    return begin


def test_what_was_left_running_is_abandoned_and_announced(start: Start, store: FakeStore, journal: Journal) -> None:
    store.add(1, status="running")
    start()
    assert journal.of(1) == ["ended abandoned", "announced abandoned", "announced completion of abandoned"]
    assert store.rows[1].result == {
        "succeeded": False,
        "error": "the worker was restarted while this execution was running",
        "cause": "worker_lost",
    }


def test_what_was_being_cancelled_is_cancelled(start: Start, store: FakeStore, journal: Journal) -> None:
    store.add(1, status="canceling")
    start()
    assert journal.of(1) == ["ended cancelled", "announced cancelled", "announced completion of cancelled"]
    assert store.rows[1].result is not None
    assert (store.rows[1].result["cancelled"], store.rows[1].result["cause"]) == (True, "cancelled")


def test_what_is_not_this_workers_or_has_not_begun_stays_as_it_is(
    start: Start, store: FakeStore, journal: Journal
) -> None:
    store.add(1, status="running", worker=SOMEBODY_ELSE)
    store.add(2)
    start(START)
    assert [store.rows[id_].status for id_ in (1, 2)] == ["running", "scheduled"]
    assert journal.entries == []


def test_what_the_earlier_life_could_not_write_is_written_and_announced(
    start: Start, store: FakeStore, journal: Journal, earlier: Spool, directory: Path
) -> None:
    store.add(1, status="running")
    earlier.keep(report(1, "failed"))
    start()
    assert journal.of(1) == ["ended failed", "announced failed", "announced completion of failed"]
    assert list(directory.iterdir()) == []


def test_what_had_been_written_after_all_is_announced_all_the_same(
    start: Start, store: FakeStore, journal: Journal, earlier: Spool
) -> None:
    store.add(1, status="completed", result={"succeeded": True})
    earlier.keep(report(1))
    start()
    assert journal.of(1) == ["announced completed", "announced completion of completed"]


def test_what_somebody_else_has_ended_meanwhile_stands(
    start: Start, store: FakeStore, journal: Journal, earlier: Spool, directory: Path
) -> None:
    store.add(1, status="abandoned", result={"abandoned_by": "monitor"})
    earlier.keep(report(1))
    start(START)
    assert (store.rows[1].status, journal.entries, list(directory.iterdir())) == ("abandoned", [], [])


def test_a_kept_result_that_the_server_refuses_does_not_stop_the_start(
    start: Start, store: FakeStore, journal: Journal, earlier: Spool, directory: Path
) -> None:
    store.add(1, 2, status="running")
    store.troubles_of["record"] = [Trouble.REFUSED]
    earlier.keep(report(1))
    earlier.keep(report(2))
    start()
    assert [store.rows[id_].status for id_ in (1, 2)] == ["abandoned", "completed"]
    assert journal.ids("announced", "completion of abandoned") == [1]
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("trouble", [Trouble.AWAY, Trouble.LOST, Trouble.CONFLICT])
def test_a_start_without_the_database_loses_nothing(
    start: Start, store: FakeStore, journal: Journal, earlier: Spool, trouble: Trouble
) -> None:
    store.add(1, status="running")
    store.add(2, status="running")
    earlier.keep(report(1))
    store.troubles_of["record"] = [trouble]
    with pytest.raises(DatabaseError):
        start()
    start()
    assert [store.rows[id_].status for id_ in (1, 2)] == ["completed", "abandoned"]
    assert journal.ids("announced", "completion of completed") == [1]
    assert journal.ids("announced", "completion of abandoned") == [2]
    assert journal.ids("ended", "completed") == [1]


def ended_at(store: FakeStore, execution_id: int, seconds: float) -> None:
    store.add(execution_id, status="completed", result={"succeeded": True})
    store.rows[execution_id].updated = START + timedelta(seconds=seconds)


def test_what_ended_since_the_last_heartbeat_but_one_is_announced_again(
    start: Start, store: FakeStore, journal: Journal
) -> None:
    ended_at(store, 1, -INTERVAL - 1)
    ended_at(store, 2, -INTERVAL)
    ended_at(store, 3, 5)
    start(START)
    assert journal.entries == [("announced", 2, "completion of completed"), ("announced", 3, "completion of completed")]


def test_after_a_life_that_had_reported_everything_nothing_is_repeated(
    start: Start, store: FakeStore, journal: Journal
) -> None:
    ended_at(store, 1, 5)
    start(None)
    assert journal.entries == []


def test_messages_that_had_waited_for_longer_are_announced_from_then_on(
    start: Start, store: FakeStore, journal: Journal, earlier: Spool
) -> None:
    ended_at(store, 1, -500)
    ended_at(store, 2, -300)
    earlier.note_unannounced(int((START - timedelta(seconds=400)).timestamp()))
    start(START)
    assert journal.ids("announced", "completion of completed") == [2]


def test_a_note_without_a_heartbeat_is_enough(start: Start, store: FakeStore, journal: Journal, earlier: Spool) -> None:
    ended_at(store, 1, 0)
    earlier.note_unannounced(int(START.timestamp()))
    start(None)
    assert journal.ids("announced", "completion of completed") == [1]


def test_what_was_ended_just_now_is_announced_once(
    start: Start, store: FakeStore, journal: Journal, earlier: Spool, clock: FakeClock
) -> None:
    clock.sleep(5)
    store.add(1, 2, status="running")
    earlier.keep(report(1))
    start(START)
    assert journal.ids("announced", "completion of completed") == [1]
    assert journal.ids("announced", "completion of abandoned") == [2]


def test_what_has_no_action_has_no_completion(start: Start, store: FakeStore, journal: Journal) -> None:
    store.add(1, status="running", action=None)
    ended_at(store, 2, 0)
    store.rows[2].action = None
    start(START)
    assert journal.entries == [("ended", 1, "abandoned"), ("announced", 1, "abandoned")]


def test_a_second_start_finds_nothing_to_do(start: Start, store: FakeStore, journal: Journal) -> None:
    store.add(1, status="running")
    start()
    before = list(journal.entries)
    start()
    assert journal.entries == before
