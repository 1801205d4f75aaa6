"""The thread that writes executions: it claims and finishes whatever is waiting in one transaction, then acknowledges
and publishes. Its order is the promise: the row is committed first, everything else follows from it (E1, E2)."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.db.failures import may_pass
from agent.errors import DatabaseError
from agent.execution.announcements import announce_claim, announce_end
from agent.execution.definitions import Definitions
from agent.execution.exchange import Claim, Finished
from agent.execution.model import Action
from agent.execution.refusals import Refusals
from agent.execution.report import Report
from agent.execution.running import RunningExecutions
from agent.execution.spool import Spool
from agent.execution.store import ExecutionStore
from agent.execution.unwritten import UnwrittenReports
from agent.mq.broker import MAX_BACKLOG, Delivery, Outgoing, Publisher

log = logging.getLogger(__name__)

_RETRY_SECONDS = (0.1, 0.3, 1.0, 2.0)
#: Seconds between two looks at a publisher that has too much to send, or at a process without a free descriptor.
_PAUSE = 0.2
#: Seconds for which claims wait to be acknowledged and announced: first the slots shall start their processes, and
#: what ends sooner is announced with its end, which spares the broker and this machine a third of the work. Where
#: something else comes to be written meanwhile, they wait until that is done.
_SLOTS_FIRST = 0.005


@dataclass(frozen=True, slots=True)
class Assignment:
    """A claimed execution on its way to a slot; ``action`` is None when it doesn't exist."""

    claim: Claim
    action: Action | None


@dataclass(frozen=True, slots=True)
class _Offer:
    execution_id: int
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class _Wake:
    """Something other than an offer or a report happened: look at the flags."""


@dataclass(frozen=True, slots=True)
class _Untold:
    """Committed claims of which the broker doesn't know yet."""

    deliveries: list[Delivery]
    claims: list[Claim]


class Ledger:
    """Owns the store. ``run`` is the body of its thread; everything else may be called from any thread."""

    def __init__(
        self,
        store: ExecutionStore,
        *,
        slots: int,
        running: RunningExecutions,
        publisher: Publisher,
        settle: Callable[[Sequence[Delivery]], None],
        assign: Callable[[Assignment], None],
        spool: Spool,
    ) -> None:
        """Claim at most as many executions as ``slots`` are free; hand each claimed one to ``assign``."""
        self._store = store
        self._free = slots
        self._running = running
        self._publisher = publisher
        self._settle = settle
        self._assign = assign
        self._unwritten = UnwrittenReports(spool)
        self._inbox: queue.SimpleQueue[_Offer | Report | _Wake] = queue.SimpleQueue()
        self._offers: deque[_Offer] = deque()
        self._claims: list[Claim] = []
        self._untold = _Untold([], [])
        self._definitions = Definitions(store)
        self._refusals = Refusals(store, publisher)
        self._uncertain_claims: set[int] = set()
        self._draining = threading.Event()
        self._ended = threading.Event()
        self._returned: list[tuple[int, Delivery]] = []
        self._returned_ready = threading.Event()
        self._failures = 0
        self._starved = False

    def offer(self, execution_id: int, delivery: Delivery) -> None:
        """Take a dispatch in; it is acknowledged once it is claimed, or known not to be ours."""
        self._inbox.put(_Offer(execution_id, delivery))

    def report(self, report: Report) -> None:
        """Take the end of an execution in; its slot is free again."""
        self._unwritten.expect(report)
        self._inbox.put(report)

    def drain(self, timeout: float) -> list[tuple[int, Delivery]]:
        """Claim nothing more; return the dispatches in hand that were not claimed, for the caller to give back."""
        self._draining.set()
        self._inbox.put(_Wake())
        self._returned_ready.wait(timeout)
        return self._returned

    def settled(self, timeout: float) -> bool:
        """Wait until every report that was taken in is written; False when ``timeout`` seconds were not enough."""
        return self._unwritten.settled(timeout)

    def stop(self) -> None:
        """End ``run`` soon; what is not written is in the spool when this returns.

        ``run`` itself may wait for a database that does not answer, longer than this process lives.
        """
        self._ended.set()
        self._inbox.put(_Wake())
        self._unwritten.keep_all()

    def run(self) -> None:
        """Serve until ``stop``."""
        try:
            while not self._ended.is_set():
                self._take_in()
                if self._draining.is_set() and not self._returned_ready.is_set():
                    self._give_up_offers()
                self._work()
            self._tell([])
        finally:
            self._store.close()

    def _take_in(self) -> None:
        """Wait for something to do, then take all that is waiting."""
        try:
            item = self._inbox.get(timeout=self._patience())
            while True:
                if isinstance(item, _Offer):
                    self._take_offer(item)
                elif isinstance(item, Report):
                    self._unwritten.waiting.append(item)
                    self._free += 1
                item = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _take_offer(self, offer: _Offer) -> None:
        """Keep an offer until a slot is free; one that arrives after the others were given back goes straight back."""
        if self._returned_ready.is_set():
            offer.delivery.reject(requeue=True)
        else:
            self._offers.append(offer)

    def _patience(self) -> float | None:
        """Return the seconds to wait for something new, None for any time."""
        patience = self._patience_for_work()
        if self._untold.deliveries:
            return _SLOTS_FIRST if patience is None else min(patience, _SLOTS_FIRST)
        return patience

    def _patience_for_work(self) -> float | None:
        if self._failures:
            return _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS)) - 1]
        if self._unwritten.waiting or self._claims or self._refusals.waiting:
            return 0.0
        if self._offers and self._free and not self._draining.is_set():
            return _PAUSE if self._starved or self._broker_is_behind() else 0.0
        return None

    def _work(self) -> None:
        try:
            self._resolve_uncertain()
            self._exchange()
            self._assign_claims()
            self._refusals.settle()
            if self._failures:
                log.info("the database is back: executions go on")
            self._failures = 0
        except DatabaseError as error:
            self._tell([])
            if not self._failures:
                log.error("executions wait: %s", error)
            self._failures += 1
            if not may_pass(error):
                self._store_one_by_one()
            self._unwritten.keep_waiting()

    def _exchange(self) -> None:
        offers, new = ([], []) if self._draining.is_set() else self._next_offers()
        reports = list(self._unwritten.waiting)
        if not offers and not reports:
            self._tell([])
            return
        try:
            claims, finished = self._store.exchange(new, reports, again=self._uncertain_claims)
        except DatabaseError:
            # The server may have committed before the connection broke: both claims and ends are looked at again.
            for execution_id in new:
                self._running.remove(execution_id)
            self._offers.extendleft(reversed(offers))
            self._uncertain_claims.update(new)
            self._unwritten.doubt(reports)
            raise
        self._uncertain_claims.difference_update(new)
        self._unwritten.trust()
        self._tell(finished)
        self._unwritten.forget(reports, finished)
        self._take_on(offers, new, claims)

    def _resolve_uncertain(self) -> None:
        """Settle the ends that were written although the connection broke before we heard of it."""
        doubtful = self._unwritten.doubtful()
        if doubtful:
            finished = self._store.already_finished(doubtful)
            self._tell(finished)
            self._unwritten.forget(doubtful, finished, only_written=True)

    def _next_offers(self) -> tuple[list[_Offer], list[int]]:
        """Return as many offers as slots are free, and the ids among them that are not in hand already."""
        if self._broker_is_behind():
            return [], []  # what is claimed now could not be announced
        offers = [self._offers.popleft() for _ in range(min(self._free, len(self._offers)))]
        # A second delivery of what has ended here and is not written yet must not be taken for a claim in doubt.
        ended = {report.execution_id for report in self._unwritten.waiting}
        try:
            new = self._running.add(id_ for offer in offers if (id_ := offer.execution_id) not in ended)
        except OSError as error:
            if not self._starved:
                log.error("executions wait: %s (raise the limit of open files)", error)
            self._starved = True
            self._offers.extendleft(reversed(offers))
            return [], []
        self._starved = False
        return offers, new

    def _broker_is_behind(self) -> bool:
        return self._publisher.backlog > MAX_BACKLOG // 2

    def _take_on(self, offers: Sequence[_Offer], new: Sequence[int], claims: Sequence[Claim]) -> None:
        if not offers:
            return
        self._free -= len(claims)
        self._claims += claims
        self._untold.deliveries.extend(offer.delivery for offer in offers)
        if len(claims) < len(offers):
            self._refused({offer.execution_id for offer in offers} - {claim.execution.id for claim in claims}, new)
        self._untold.claims.extend(claims)
        self._assign_claims()

    def _tell(self, finished: Sequence[Finished]) -> None:
        """Announce ends, and before them what was claimed earlier: with one call, for each is a system call."""
        untold = self._untold
        if untold.claims or finished:
            self._publisher.send([*map(announce_claim, untold.claims), *_ends(finished)])
        if untold.deliveries:
            self._settle(untold.deliveries)
        self._untold = _Untold([], [])

    def _assign_claims(self) -> None:
        if self._claims:
            actions = self._definitions.of(self._claims)
            claims, self._claims = self._claims, []
            for claim in claims:
                self._assign(Assignment(claim, actions.get(claim.execution.id)))

    def _refused(self, refused: set[int], added: Sequence[int]) -> None:
        """Note dispatches that could not be claimed; they are acknowledged like the others and never run here."""
        new = refused.intersection(added)
        for execution_id in new:
            self._running.remove(execution_id)
        if refused - new:
            log.info("ignored a second delivery of executions in hand: %s", sorted(refused - new))
        self._refusals.add(new)

    def _store_one_by_one(self) -> None:
        """One report that the server refuses must not hold up the others, nor its own execution."""
        try:
            self._resolve_uncertain()  # some may have been written before another one was refused
        except DatabaseError:
            return
        for report in list(self._unwritten.waiting):
            try:
                _, finished = self._store.exchange([], [report])
            except DatabaseError as error:
                if may_pass(error):
                    return
                log.error("the result of execution %d can't be stored: %s", report.execution_id, error)
                bare = self._store_bare(report, error)
                if bare is None:
                    continue  # the server refuses everything: an operator has to look after it, the report waits
                finished = bare
            self._tell(finished)
            self._unwritten.forget([report], finished)

    def _store_bare(self, report: Report, error: DatabaseError) -> list[Finished] | None:
        result = {"succeeded": False, "error": f"the result could not be stored: {error}", "cause": "invalid"}
        bare = Report(report.execution_id, report.action_id, report.action_ref, "failed", result)
        try:
            return self._store.exchange([], [bare])[1]
        except DatabaseError as second:
            log.error("execution %d can't be ended: %s", report.execution_id, second)
            if may_pass(second):  # it may have been written, and is to be recognised then
                self._unwritten.replace(report, bare)
            return None

    def _give_up_offers(self) -> None:
        self._returned = [(offer.execution_id, offer.delivery) for offer in self._offers]
        self._offers.clear()
        self._returned_ready.set()


def _ends(finished: Sequence[Finished]) -> list[Outgoing]:
    return [message for done in finished for message in announce_end(done)]
