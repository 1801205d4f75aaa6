"""Histories of a worker with everything that may happen to it, and what holds in each of them.

Dispatches and duplicates, cancellations, ends, lost answers and refusals of the database, a broker that is away or
behind, a lack of descriptors, drains, kills and restarts, in any order. In every state:

- nothing starts twice, nor while it is not claimed, nor without a free slot;
- nothing is announced that the rows do not say, and per execution in order: running, its end, its completion;
- no dispatch is acknowledged while its execution may still be claimed by it.

And once servers are back and every job has ended: each execution that was claimed has ended, as its job reported unless
somebody else ended it or its worker was killed; its completion was published; every dispatch was settled.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.mq.broker import MAX_BACKLOG, Outgoing
from agent.process import syscalls
from agent.worker.reconciliation import reconcile
from tests.unit.fakes.clock import START, FakeClock
from tests.unit.fakes.delivery import FakeDelivery
from tests.unit.fakes.journal import Journal
from tests.unit.fakes.publisher import FakePublisher, described
from tests.unit.fakes.store import ENDED, SOMEBODY_ELSE, FakeStore, Trouble
from tests.unit.fakes.worker import FakeWorker

SLOTS = 2
INTERVAL = 10
IDS = st.integers(1, 6)


class CheckedDelivery(FakeDelivery):
    """A delivery that must not be acknowledged before its execution is claimed or known not to be ours."""

    store: FakeStore

    def ack(self) -> None:
        row = self.store.rows.get(self.execution_id)
        ours = row is not None and (row.status, row.worker) == ("scheduled", 1)
        assert self.settled or not ours, f"dispatch {self.execution_id} was acknowledged before it was claimed"
        super().ack()


class Histories(RuleBasedStateMachine):
    """One worker's name over several lives, and the servers that outlive them."""

    def __init__(self) -> None:
        super().__init__()
        self.journal = Journal()
        self.clock = FakeClock()
        self.store = FakeStore(self.journal, self.clock)
        self.publisher = FakePublisher(self.journal, check=self.check_message)
        self.directory = Path(tempfile.mkdtemp(prefix="histories-"))
        self.unsettled: list[FakeDelivery] = []
        #: What the slots have reported, and what was lost with a killed process before it could be.
        self.reported: dict[int, str] = {}
        self.killed: set[int] = set()
        self.elsewhere: set[int] = set()
        self.starts: list[int] = []
        self.last_beat = START
        self.worker = self.new_worker()
        self.drained = False
        self.no_descriptors = False
        self.event = syscalls.event
        self.patch = mock.patch.object(syscalls, "event", self.open_token)
        self.patch.start()

    def open_token(self) -> int:
        if self.no_descriptors:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self.event()

    @initialize(count=st.integers(3, 6), files=st.sets(IDS), nobody=st.sets(IDS, max_size=1))
    def rows(self, count: int, files: set[int], nobody: set[int]) -> None:
        self.store.add(*range(1, count + 1))
        for id_ in files & set(self.store.rows):
            self.store.rows[id_].allocates = True
        for id_ in nobody & set(self.store.rows):
            self.store.rows[id_].worker = SOMEBODY_ELSE

    def new_worker(self) -> FakeWorker:
        return FakeWorker(
            self.store, self.publisher, self.journal, self.clock, slots=SLOTS, spool=self.directory / "spool"
        )

    # What the broker does.

    @rule(ids=st.lists(IDS, min_size=1, max_size=4))
    def dispatch(self, ids: list[int]) -> None:
        for id_ in ids:
            self.deliver(CheckedDelivery(id_, self.journal))

    def deliver(self, delivery: CheckedDelivery) -> None:
        delivery.store = self.store
        self.unsettled.append(delivery)
        self.worker.take(delivery)

    @rule(id_=IDS)
    def cancel(self, id_: int) -> None:
        """As the executor does: the row first, then the request."""
        row = self.store.rows.get(id_)
        if row is not None and row.status in ("scheduled", "running"):
            row.status = "canceling"
            self.worker.running.cancel(id_)

    @rule(connected=st.booleans(), more=st.sampled_from([0, 0, MAX_BACKLOG // 2 + 1]))
    def broker(self, connected: bool, more: int) -> None:
        """Let it be away, be behind, or take everything that waits."""
        self.publisher.connected, self.publisher.more = connected, more
        if connected and not more:
            self.publisher.confirm()

    # What the database does.

    @rule(troubles=st.lists(st.sampled_from(Trouble), min_size=1, max_size=3))
    def trouble(self, troubles: list[Trouble]) -> None:
        self.store.troubles.extend(troubles)

    @rule(away=st.booleans())
    def database(self, away: bool) -> None:
        self.store.away = away

    @rule(id_=IDS)
    def unstorable(self, id_: int) -> None:
        self.store.unstorable.add(id_)

    @rule(id_=IDS)
    def somebody_else_ends_it(self, id_: int) -> None:
        """As the executor's monitors do, which announce it themselves."""
        row = self.store.rows.get(id_)
        if row is not None and row.status in ("running", "canceling"):
            self.store.end_elsewhere(id_)
            self.elsewhere.add(id_)

    @rule(gone=st.booleans())
    def descriptors(self, gone: bool) -> None:
        self.no_descriptors = gone

    # What the worker does.

    @rule(seconds=st.sampled_from([0, 0.01, 1, 5]))
    def go(self, seconds: float) -> None:
        self.worker.elapse(seconds)

    @rule()
    def turn(self) -> None:
        """Take in what waits and work once: what follows comes before the claims are announced."""
        self.worker.turn()

    @precondition(lambda self: self.worker.assigned)
    @rule(data=st.data(), status=st.sampled_from(["completed", "failed"]))
    def end(self, data: st.DataObject, status: str) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.worker.assigned)))
        if self.worker.running.token_of(id_).cause is not None:
            status = "cancelled"
        self.worker.end(id_, status=status)
        self.reported[id_] = status

    @rule()
    def beat(self) -> None:
        self.worker.spool.note_unannounced(self.publisher.oldest)
        if not self.store.away:
            self.last_beat = self.clock.now()

    @precondition(lambda self: not self.drained)
    @rule()
    def drain(self) -> None:
        self.drained = True
        self.give_back()

    def give_back(self) -> None:
        for _, delivery in self.worker.drain_deliveries():
            delivery.reject(requeue=True)

    @rule()
    def leave(self) -> None:
        """End in order: what is not written lies in the spool."""
        for id_ in list(self.worker.assigned):
            self.worker.end(id_, status="failed")
            self.reported[id_] = "failed"
        self.worker.leave()
        self.worker.spool.note_unannounced(self.publisher.oldest)
        self.begin_again(self.publisher.waiting)

    @rule()
    def kill(self) -> None:
        """End without a word, and begin again."""
        self.killed.update(self.worker.assigned)
        on_disk = {int(path.stem) for path in self.directory.glob("spool/*.json")}
        pending = {id_ for id_ in self.reported if self.store.rows[id_].status not in ENDED}
        self.killed |= pending - on_disk
        self.begin_again(self.publisher.waiting)

    def begin_again(self, lost: list[Outgoing]) -> None:
        """Start a new life; what was not confirmed is lost, what was not settled is delivered again."""
        self.worker.vanish()
        lost.clear()
        self.publisher.connected, self.publisher.more = True, 0
        self.store.away = self.no_descriptors = False
        self.store.troubles.clear()
        self.worker = self.new_worker()
        self.drained = False
        reconcile(self.store, self.publisher, self.worker.spool, previous_heartbeat=self.last_beat, interval=INTERVAL)
        self.last_beat = self.clock.now()
        unsettled, self.unsettled = self.unsettled, []
        for delivery in unsettled:
            if delivery.settled in (None, "returned"):
                self.deliver(CheckedDelivery(delivery.execution_id, self.journal, redelivered=True))

    # What holds.

    def check_message(self, message: Outgoing) -> None:
        """Nothing is announced that the row does not say."""
        id_, what = described(message)
        row = self.store.rows[id_]
        if what == "running":
            assert row.started_at is not None, f"{id_} was announced before it was claimed"
        else:
            assert row.status == what.removeprefix("completion of "), f"{id_} is {row.status}, announced: {what}"

    @invariant()
    def nothing_starts_twice(self) -> None:
        started = self.journal.ids("assigned")
        assert len(started) == len(set(started))

    @invariant()
    def announcements_come_in_order(self) -> None:
        for id_ in self.store.rows:
            told = [what.removeprefix("announced ") for what in self.journal.of(id_) if what.startswith("announced")]
            places = [0 if what == "running" else 2 if what.startswith("completion") else 1 for what in told]
            lives = [place for number, place in enumerate(places) if number == 0 or place != places[number - 1]]
            assert places.count(0) <= 1
            assert lives == sorted(lives) or set(lives[lives.index(2) :]) <= {1, 2}, told

    def teardown(self) -> None:
        try:
            self.come_to_an_end()
        finally:
            self.patch.stop()
            self.worker.vanish()
            shutil.rmtree(self.directory)

    def come_to_an_end(self) -> None:
        """Let the servers be back and every job end, and look at what is left."""
        self.store.away = self.no_descriptors = False
        self.store.troubles.clear()
        self.publisher.connected = True
        self.publisher.confirm()
        for _ in range(10):
            self.worker.elapse(10)
            if self.drained:
                self.give_back()
            for id_ in list(self.worker.assigned):
                cause = self.worker.running.token_of(id_).cause
                self.worker.end(id_, status="completed" if cause is None else "cancelled")
                self.reported[id_] = "completed" if cause is None else "cancelled"
        assert self.worker.coordinator.settled(0), "a report is left"
        assert len(self.worker.running) == 0, "a cancellation token is left"
        assert [d.execution_id for d in self.unsettled if d.settled is None] == [], "a dispatch is not settled"
        for row in self.store.rows.values():
            self.check_end(row.id, row.status)

    def check_end(self, id_: int, status: str) -> None:
        dispatched = any(d.execution_id == id_ for d in self.unsettled if d.settled == "acknowledged")
        row = self.store.rows[id_]
        if row.worker == SOMEBODY_ELSE:
            assert id_ not in self.reported
            return
        if not self.drained or row.started_at is not None or dispatched:
            assert status in ENDED, f"{id_} is {status}"
        if id_ in self.reported and id_ not in self.elsewhere | self.killed:
            expected = {self.reported[id_], "failed"} if id_ in self.store.unstorable else {self.reported[id_]}
            assert status in expected, f"{id_} was reported as {self.reported[id_]} and is {status}"
        if status in ENDED and id_ not in self.elsewhere:
            told = [what for message in self.publisher.confirmed for i, what in [described(message)] if i == id_]
            assert f"completion of {status}" in told, f"{id_} is {status}, announced: {told}"


# The same histories each time: what is found must be found by everybody.
Histories.TestCase.settings = settings(
    derandomize=True, stateful_step_count=30, suppress_health_check=list(HealthCheck)
)
TestHistories = Histories.TestCase
