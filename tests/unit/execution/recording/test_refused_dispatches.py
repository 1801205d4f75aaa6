"""A dispatch that can't be claimed is looked into: what is being cancelled is ended, all else is left alone."""

from __future__ import annotations

import pytest

from agent.errors import DatabaseError
from agent.execution.recording.refused_dispatches import RefusedDispatches
from tests.unit.fakes.journal import Journal
from tests.unit.fakes.publisher import FakePublisher
from tests.unit.fakes.store import SOMEBODY_ELSE, FakeStore, Trouble


@pytest.fixture
def refused(store: FakeStore, publisher: FakePublisher) -> RefusedDispatches:
    return RefusedDispatches(store, publisher)


def test_with_nothing_refused_the_database_is_not_asked(refused: RefusedDispatches, store: FakeStore) -> None:
    refused.settle()
    assert store.calls == []
    assert not refused.waiting


@pytest.mark.parametrize("status", ["completed", "scheduled", "requested"])
def test_what_is_not_being_cancelled_is_said_and_left_alone(
    refused: RefusedDispatches, store: FakeStore, journal: Journal, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    store.add(1, status=status, worker=SOMEBODY_ELSE)
    refused.add([1, 9])
    assert refused.waiting
    refused.settle()
    assert not refused.waiting
    assert (store.rows[1].status, journal.entries) == (status, [])
    assert f"execution 1 was dispatched here but is {status}" in caplog.text
    assert "execution 9 was dispatched here but does not exist" in caplog.text


def test_what_is_being_cancelled_ends_and_is_announced(
    refused: RefusedDispatches, store: FakeStore, journal: Journal
) -> None:
    store.add(1, 2, status="canceling")
    refused.add([2, 1])
    refused.settle()
    ended = ["ended cancelled", "announced cancelled", "announced completion of cancelled"]
    assert (journal.of(1), journal.of(2)) == (ended, ended)
    assert store.rows[1].result is not None
    assert store.rows[1].result["cause"] == "cancelled"


def test_without_an_action_there_is_no_completion(
    refused: RefusedDispatches, store: FakeStore, journal: Journal
) -> None:
    store.add(1, status="canceling", action=None)
    refused.add([1])
    refused.settle()
    assert journal.of(1) == ["ended cancelled", "announced cancelled"]


def test_what_another_worker_has_is_not_cancelled_here(
    refused: RefusedDispatches, store: FakeStore, journal: Journal
) -> None:
    store.add(1, status="canceling", worker=SOMEBODY_ELSE)
    refused.add([1])
    refused.settle()
    assert (store.rows[1].status, journal.entries) == ("canceling", [])


def test_a_cancellation_that_was_somebody_elses_is_not_announced_here(
    refused: RefusedDispatches, store: FakeStore, journal: Journal
) -> None:
    store.add(1, status="cancelled", result={"cause": "cancelled"})
    refused.add([1])
    refused.settle()
    assert journal.entries == []


@pytest.mark.parametrize("trouble", [Trouble.AWAY, Trouble.LOST, Trouble.CONFLICT])
@pytest.mark.parametrize("call", ["unclaimed", "cancel_unstarted"])
def test_nothing_is_lost_while_the_database_is_away(
    refused: RefusedDispatches, store: FakeStore, journal: Journal, call: str, trouble: Trouble
) -> None:
    store.add(1, 2, status="canceling")
    store.troubles_of[call] = [trouble]
    refused.add([1, 2])
    with pytest.raises(DatabaseError):
        refused.settle()
    assert refused.waiting
    refused.settle()
    assert not refused.waiting
    assert sorted(journal.ids("announced", "completion of cancelled")) == [1, 2]
    assert sorted(journal.ids("ended", "cancelled")) == [1, 2]


def test_one_that_the_server_refuses_for_good_holds_up_no_other(
    refused: RefusedDispatches, store: FakeStore, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    store.add(1, 2, status="canceling")
    store.troubles_of["cancel_unstarted"] = [Trouble.REFUSED]
    refused.add([1, 2])
    refused.settle()
    assert journal.ids("announced", "completion of cancelled") == [2]
    assert "execution 1 can't be" in caplog.text
    assert not refused.waiting


def test_what_failed_for_good_is_forgotten_altogether(
    refused: RefusedDispatches, store: FakeStore, journal: Journal
) -> None:
    """Were it still in doubt, a later delivery would announce what somebody else has ended."""
    store.add(1, status="canceling")
    store.troubles_of["cancel_unstarted"] = [Trouble.REFUSED]
    refused.add([1])
    refused.settle()
    store.rows[1].status = "cancelled"
    refused.add([1])
    refused.settle()
    assert store.calls.count("cancel_unstarted") == 1
