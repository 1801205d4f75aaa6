"""A worker that leaves for good gives to others what it has not claimed, if there are others; all else waits for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.worker.unclaimed_dispatches import UnclaimedDispatches
from tests.unit.fakes.broker import FakeBroker
from tests.unit.fakes.delivery import FakeDelivery
from tests.unit.fakes.journal import Journal
from tests.unit.fakes.publisher import FakePublisher
from tests.unit.fakes.store import ME, SOMEBODY_ELSE, FakeStore, Trouble


class Leaving:
    """A worker that leaves while 1 and 2 are in its hands, 3 is still in its queue, and 4 is another's."""

    def __init__(self, store: FakeStore, publisher: FakePublisher, journal: Journal) -> None:
        store.add(1, 2, 3)
        store.add(4, worker=SOMEBODY_ELSE)
        self.store = store
        self.broker = FakeBroker(publisher)
        self.publisher = publisher
        self.deliveries = [FakeDelivery(id_, journal) for id_ in (1, 2)]
        self.unclaimed = self.made(ephemeral=True)

    def made(self, *, ephemeral: bool) -> UnclaimedDispatches:
        return UnclaimedDispatches(self.store, self.broker, self.publisher, worker_id=ME, ephemeral=ephemeral)

    def leave(self, *, registered: bool = True) -> None:
        self.unclaimed.hand_back([(d.execution_id, d) for d in self.deliveries], registered=registered)

    @property
    def settled(self) -> list[str | None]:
        return [delivery.settled for delivery in self.deliveries]

    @property
    def statuses(self) -> list[str]:
        return [self.store.rows[id_].status for id_ in (1, 2, 3, 4)]


@pytest.fixture
def leaving(store: FakeStore, publisher: FakePublisher, journal: Journal) -> Leaving:
    return Leaving(store, publisher, journal)


def test_one_that_leaves_for_good_gives_everything_to_the_executor(leaving: Leaving, journal: Journal) -> None:
    leaving.leave()
    assert leaving.statuses == ["requested", "requested", "requested", "scheduled"]
    assert [leaving.store.rows[id_].worker for id_ in (1, 2, 3, 4)] == [None, None, None, SOMEBODY_ELSE]
    assert journal.ids("announced", "request") == [1, 2, 3]
    assert leaving.settled == ["acknowledged", "acknowledged"]


def test_requests_are_sent_before_the_dispatches_are_acknowledged(leaving: Leaving, journal: Journal) -> None:
    leaving.leave()
    assert journal.of(1) == ["announced request", "acknowledged"]


def without_others(leaving: Leaving) -> None:
    leaving.store.others_alive = 0


def without_broker(leaving: Leaving) -> None:
    leaving.publisher.connected = False


def without_database(leaving: Leaving) -> None:
    leaving.store.away = True


def refused(leaving: Leaving) -> None:
    leaving.store.troubles_of["hand_back"] = [Trouble.REFUSED]


def permanent(leaving: Leaving) -> None:
    leaving.unclaimed = leaving.made(ephemeral=False)


STAYING = [without_others, without_broker, without_database, refused, permanent]


@pytest.mark.parametrize("why", STAYING)
def test_otherwise_everything_stays_in_its_queue(
    leaving: Leaving, journal: Journal, why: Callable[[Leaving], None]
) -> None:
    why(leaving)
    leaving.leave()
    assert leaving.statuses == ["scheduled"] * 4
    assert leaving.settled == ["returned", "returned"]
    assert journal.ids("announced", "request") == []


def test_one_whose_name_another_process_has_speaks_for_itself_only(leaving: Leaving) -> None:
    leaving.leave(registered=False)
    assert leaving.statuses == ["scheduled"] * 4
    assert leaving.settled == ["returned", "returned"]
    assert leaving.store.calls == []


def test_its_queues_go_after_everything_else_was_sent(leaving: Leaving) -> None:
    leaving.leave()
    assert leaving.broker.deleted == []
    leaving.unclaimed.delete_queues()
    assert leaving.broker.deleted == ["worker.1.executions", "worker.1.packs", "worker.1.cancel"]
    assert [queue.bindings for queue in leaving.broker.unbound] == [(("attune.dlx", "execution.dispatch.worker.1"),)]


def test_what_was_scheduled_for_it_meanwhile_is_given_to_the_executor_too(leaving: Leaving, journal: Journal) -> None:
    leaving.leave()
    leaving.store.add(5)
    leaving.unclaimed.delete_queues()
    assert leaving.store.rows[5].status == "requested"
    assert journal.ids("announced", "request") == [1, 2, 3, 5]


@pytest.mark.parametrize("why", [without_others, without_broker, without_database])
def test_queues_that_may_hold_something_stay(leaving: Leaving, why: Callable[[Leaving], None]) -> None:
    leaving.leave()
    leaving.store.add(5)
    why(leaving)
    leaving.unclaimed.delete_queues()
    assert leaving.broker.deleted == []


def test_one_with_nothing_to_give_away_needs_no_other(leaving: Leaving) -> None:
    without_others(leaving)
    for id_ in (1, 2, 3):
        leaving.store.rows[id_].status = "completed"
    leaving.leave()
    leaving.unclaimed.delete_queues()
    assert leaving.broker.deleted == ["worker.1.executions", "worker.1.packs", "worker.1.cancel"]


@pytest.mark.parametrize("why", STAYING)
def test_one_that_keeps_its_dispatches_keeps_its_queues(leaving: Leaving, why: Callable[[Leaving], None]) -> None:
    why(leaving)
    leaving.leave()
    leaving.store.others_alive, leaving.publisher.connected, leaving.store.away = 1, True, False
    leaving.unclaimed.delete_queues()
    assert leaving.broker.deleted == []


def test_one_whose_name_was_taken_leaves_the_queues_to_who_took_it(leaving: Leaving) -> None:
    leaving.leave(registered=False)
    leaving.unclaimed.delete_queues()
    assert leaving.broker.deleted == []


def test_queues_that_can_not_be_deleted_are_said(leaving: Leaving, caplog: pytest.LogCaptureFixture) -> None:
    leaving.leave()
    leaving.broker.away = True
    leaving.unclaimed.delete_queues()
    assert "are left behind" in caplog.text


def test_it_closes_its_connection(leaving: Leaving) -> None:
    leaving.unclaimed.close()
    assert leaving.store.closed
