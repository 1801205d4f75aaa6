"""The thread that writes executions: it claims and finishes whatever is waiting in one transaction, then acknowledges
and publishes. Its order is fixed: the row is committed first, everything else follows from it.

Promises: claim before acknowledge; commit before publish.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from agent.backoff import Backoff
from agent.db.error_translation import may_pass
from agent.errors import DatabaseError
from agent.execution.model import Assignment, Claim
from agent.execution.recording.action_cache import ActionCache
from agent.execution.recording.overdue import OverdueLooks
from agent.execution.recording.pending_reports import PendingReports
from agent.execution.recording.refused_dispatches import RefusedDispatches
from agent.execution.recording.refused_reports import store_one_by_one
from agent.execution.recording.spool import Spool
from agent.execution.recording.store import ExecutionStore
from agent.execution.recording.unannounced import Unannounced
from agent.execution.report import Report
from agent.execution.running import RunningExecutions
from agent.mq.broker import MAX_BACKLOG, Delivery, Publisher

log = logging.getLogger(__name__)

#: Seconds until the database is asked again after an error that may pass.
_BACKOFF = Backoff(0.1, 2.0, factor=3.0)
#: Seconds between two looks at a publisher that has too much to send, or at a process without a free descriptor.
_PAUSE = 0.2
#: Seconds for which claims wait to be acknowledged and announced: the slots start their processes first, and
#: what ends sooner is announced with its end, which spares the broker and this machine a third of the work. Where
#: something else comes to be written meanwhile, they wait until that is done.
_SLOTS_FIRST = 0.005
#: Seconds after which what is not written is kept on disk as well, and between two looks for such.
_OLD, _LOOK_FOR_OLD = 1.0, 0.25


@dataclass(frozen=True, slots=True)
class _Dispatch:
    execution_id: int
    #: None for one that was found scheduled, without a message.
    delivery: Delivery | None


@dataclass(frozen=True, slots=True)
class _Wake:
    """Something other than a dispatch or a report happened: look at the flags."""


class Coordinator:
    """Owns the store. ``run`` is the body of its thread; everything else may be called from any thread."""

    def __init__(
        self,
        store: ExecutionStore,
        *,
        slots: int,
        running: RunningExecutions,
        publisher: Publisher,
        acknowledge: Callable[[Sequence[Delivery]], None],
        assign: Callable[[Assignment], None],
        spool: Spool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Claim at most as many executions as ``slots`` are free; hand each claimed one to ``assign``."""
        self._store = store
        self._free = slots
        self._running = running
        self._publisher = publisher
        self._assign = assign
        self._pending = PendingReports(spool)
        self._inbox: queue.SimpleQueue[_Dispatch | Report | _Wake] = queue.SimpleQueue()
        self._dispatches: deque[_Dispatch] = deque()
        self._claims: list[Claim] = []
        self._unannounced = Unannounced(publisher, acknowledge)
        self._actions = ActionCache(store)
        self._refused_dispatches = RefusedDispatches(store, publisher)
        self._uncertain_claims: set[int] = set()
        self._draining = threading.Event()
        self._ended = threading.Event()
        self._returned: list[tuple[int, Delivery]] = []
        self._returned_ready = threading.Event()
        self._failures = 0
        self._starved = False
        self._overdue = OverdueLooks(clock)

    def dispatch(self, execution_id: int, delivery: Delivery) -> None:
        """Take a dispatch in; it is acknowledged once it is claimed, or known not to be ours."""
        self._inbox.put(_Dispatch(execution_id, delivery))

    def report(self, report: Report) -> None:
        """Take the end of an execution in; its slot is free again."""
        self._pending.expect(report)
        self._inbox.put(report)

    def drain(self, timeout: float) -> list[tuple[int, Delivery]]:
        """Claim nothing more; return the dispatches in hand that were not claimed, for the caller to give back.

        From now on nothing that ends waits to be kept on disk.
        """
        self._draining.set()
        self._inbox.put(_Wake())
        self._returned_ready.wait(timeout)
        return self._returned

    def settled(self, timeout: float) -> bool:
        """Wait until every report that was taken in is written, and no claim is in doubt.

        False when ``timeout`` seconds were not enough.
        """
        deadline = time.monotonic() + timeout
        while self._pending.settled(max(0.0, deadline - time.monotonic())) and self._uncertain_claims:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_SLOTS_FIRST)
        return not self._uncertain_claims and self._pending.settled(0.0)

    def stop(self) -> None:
        """End ``run`` soon; what is not written is in the spool when this returns.

        ``run`` itself may wait for a database that does not answer, longer than this process lives.
        """
        self._ended.set()
        self._inbox.put(_Wake())
        self._pending.keep_all()

    def keep_old(self) -> None:
        """Keep on disk what can't be written, until ``stop``: ``run`` may wait for a database that does not answer."""
        while not self._ended.is_set():
            if self._pending.wait_for_some(_OLD):
                self._ended.wait(_LOOK_FOR_OLD)
                at_once = self._draining.is_set() or self._failures
                self._pending.keep_old(0.0 if at_once else _OLD)

    def run(self) -> None:
        """Serve until ``stop``."""
        try:
            while not self._ended.is_set():
                self.run_once(self.patience())
            self._unannounced.announce()
        finally:
            self._store.close()

    def run_once(self, patience: float | None) -> None:
        """Wait up to ``patience`` seconds, None for any time, for something to do; then do all that waits."""
        self._take_in(patience)
        self._work()
        if self._draining.is_set() and not self._returned_ready.is_set() and not self._uncertain_claims:
            self._return_dispatches()

    def _take_in(self, patience: float | None) -> None:
        """Wait for something to do, then take all that is waiting."""
        try:
            item = self._inbox.get(timeout=patience)
            while True:
                if isinstance(item, _Dispatch):
                    self._take_dispatch(item)
                elif isinstance(item, Report):
                    self._pending.waiting.append(item)
                    self._free += 1
                item = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _take_dispatch(self, dispatch: _Dispatch) -> None:
        """Keep a dispatch until a slot is free; return it at once where the others were returned already."""
        if self._returned_ready.is_set() and dispatch.delivery is not None:
            dispatch.delivery.reject(requeue=True)
        else:
            self._dispatches.append(dispatch)
            self._overdue.heard()

    def patience(self) -> float | None:
        """Return the seconds that ``run_once`` may wait for something new, None for any time."""
        patience = self._patience_for_work()
        if self._unannounced.waiting:
            return _SLOTS_FIRST if patience is None else min(patience, _SLOTS_FIRST)
        return patience

    def _patience_for_work(self) -> float | None:
        if self._failures:
            return _BACKOFF.pause(self._failures - 1)
        if self._pending.waiting or self._claims or self._refused_dispatches.waiting:
            return 0.0
        if self._dispatches and self._free and not self._draining.is_set():
            return _PAUSE if self._starved or self._broker_is_behind() else 0.0
        return self._overdue.patience if self._may_look() else None

    def _work(self) -> None:
        try:
            self._resolve_uncertain()
            self._look_for_overdue()
            self._record()
            self._assign_claims()
            self._refused_dispatches.settle()
            if self._failures:
                log.info("the database is back: executions are claimed again")
            self._failures = 0
        except DatabaseError as error:
            self._unannounced.announce()
            if not self._failures:
                log.error("no executions are claimed: %s", error)
            self._failures += 1
            if not may_pass(error):
                self._store_one_by_one()
            self._pending.keep_all()

    def _record(self) -> None:
        dispatches, new = ([], []) if self._draining.is_set() else self._next_dispatches()
        reports = list(self._pending.waiting)
        if not dispatches and not reports:
            self._unannounced.announce()
            return
        try:
            claims, finished = self._store.record(new, reports, again=self._uncertain_claims)
        except DatabaseError:
            # The server may have committed before the connection broke: both claims and ends are looked at again.
            for execution_id in new:
                self._running.remove(execution_id)
            self._dispatches.extendleft(reversed(dispatches))
            self._uncertain_claims.update(new)
            self._pending.doubt(reports)
            raise
        self._uncertain_claims.difference_update(new)
        certain = self._pending.trust(reports, finished)
        self._unannounced.announce(finished)
        self._pending.forget(certain, finished)
        self._take_on(dispatches, new, claims)

    def _resolve_uncertain(self) -> None:
        """Settle what was written although the connection broke before we heard of it.

        A claim that is in doubt is made again; while draining it is undone, so that its dispatch can go back.
        """
        doubtful = self._pending.doubtful()
        if doubtful:
            finished = self._store.already_finished(doubtful)
            self._unannounced.announce(finished)
            self._pending.forget_looked_at(doubtful, finished)
        if self._uncertain_claims and self._draining.is_set():
            self._store.unclaim(self._uncertain_claims)
            self._uncertain_claims.clear()

    def _may_look(self) -> bool:
        """Whether a slot is free that nothing waits for."""
        return bool(self._free and not self._dispatches and not self._draining.is_set())

    def _look_for_overdue(self) -> None:
        """Now and then, take on what has been scheduled here for so long that its dispatch must be lost."""
        if not self._may_look() or not self._overdue.is_due() or self._broker_is_behind():
            return
        wanted = self._free
        found = self._store.overdue(wanted)
        self._overdue.found(len(found), wanted)
        self._dispatches.extend(_Dispatch(execution_id, None) for execution_id in found)

    def _next_dispatches(self) -> tuple[list[_Dispatch], list[int]]:
        """Return as many dispatches as slots are free, and the ids among them that are not in hand already."""
        if self._broker_is_behind():
            return [], []  # what is claimed now could not be announced
        dispatches = [self._dispatches.popleft() for _ in range(min(self._free, len(self._dispatches)))]
        # A second delivery of what has ended here and is not written yet must not be taken for a claim in doubt.
        ended = {report.execution_id for report in self._pending.waiting}
        try:
            new = self._running.add(id_ for dispatch in dispatches if (id_ := dispatch.execution_id) not in ended)
        except OSError as error:
            if not self._starved:
                log.error("no executions are claimed: %s (raise the limit of open files)", error)
            self._starved = True
            self._dispatches.extendleft(reversed(dispatches))
            return [], []
        self._starved = False
        return dispatches, new

    def _broker_is_behind(self) -> bool:
        return self._publisher.backlog > MAX_BACKLOG // 2

    def _take_on(self, dispatches: Sequence[_Dispatch], new: Sequence[int], claims: Sequence[Claim]) -> None:
        if not dispatches:
            return
        self._free -= len(claims)
        self._claims += claims
        self._unannounced.add((d.delivery for d in dispatches if d.delivery is not None), claims)
        if len(claims) < len(dispatches):
            self._note_refused(
                {dispatch.execution_id for dispatch in dispatches} - {claim.execution.id for claim in claims}, new
            )
        self._assign_claims()

    def _assign_claims(self) -> None:
        if self._claims:
            actions = self._actions.of(self._claims)
            claims, self._claims = self._claims, []
            for claim in claims:
                self._assign(Assignment(claim, actions.get(claim.execution.id)))

    def _note_refused(self, refused: set[int], added: Sequence[int]) -> None:
        """Note dispatches that could not be claimed; they are acknowledged like the others and never run here."""
        new = refused.intersection(added)
        for execution_id in new:
            self._running.remove(execution_id)
        if refused - new:
            log.info("ignored a second delivery of executions that are in progress: %s", sorted(refused - new))
        self._refused_dispatches.add(new)

    def _store_one_by_one(self) -> None:
        with suppress(DatabaseError):
            self._resolve_uncertain()  # some may have been written before another one was refused
            store_one_by_one(self._store, self._pending, self._unannounced.announce)

    def _return_dispatches(self) -> None:
        self._returned = [(d.execution_id, d.delivery) for d in self._dispatches if d.delivery is not None]
        self._dispatches.clear()
        self._returned_ready.set()
