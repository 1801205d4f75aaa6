"""Cleans up after ephemeral workers that are gone (promise: nobody is left behind)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import closing

from agent.errors import DatabaseError
from agent.execution.recording.spool import Spool
from agent.execution.recording.store import ExecutionStore
from agent.mq.broker import Broker, Publisher
from agent.presence.stale import StaleWorker, StaleWorkers
from agent.worker.reconciliation import reconcile
from agent.worker.unclaimed_dispatches import UnclaimedDispatches

log = logging.getLogger(__name__)

#: Seconds that messages about a gone worker's executions may take to be confirmed.
_FLUSH_SECONDS = 5.0


class Rescue:
    """The body of the rescue thread: any agent may do it, and the free lock decides which one does."""

    def __init__(
        self,
        stale: StaleWorkers,
        store_of: Callable[[int], ExecutionStore],
        broker: Broker,
        publisher: Publisher,
        *,
        interval: float,
    ) -> None:
        """Look every ``interval`` seconds. ``store_of`` opens the executions of the worker with that id."""
        self._stale = stale
        self._store_of = store_of
        self._broker = broker
        self._publisher = publisher
        self._interval = interval
        self._stop = threading.Event()

    def run(self) -> None:
        """Look until ``stop``; what goes wrong is tried again."""
        while not self._stop.wait(self._interval):
            try:
                self.run_once()
            except DatabaseError as error:
                log.info("looking for workers that are gone: %s", error)

    def stop(self) -> None:
        """End ``run`` after what it is doing."""
        self._stop.set()

    def run_once(self) -> int:
        """Clean up after every worker that is gone; return how many those were. Raises DatabaseError."""
        if not self._publisher.connected:
            return 0
        return sum(self._rescue(worker) for worker in self._stale.find() if not self._stop.is_set())

    def _rescue(self, worker: StaleWorker) -> bool:
        with self._stale.held(worker) as held:
            if not held or not self._clean_up(worker):
                return False
            self._stale.retire(worker)
        log.warning("worker %s is gone, without a heartbeat for %.0f s: cleaned up", worker.name, worker.silence)
        return True

    def _clean_up(self, worker: StaleWorker) -> bool:
        """End what it ran, return what it had not begun, delete its queues; False: not all of it, so once more."""
        store = self._store_of(worker.worker_id)
        unclaimed = UnclaimedDispatches(
            store, self._broker, self._publisher, worker_id=worker.worker_id, ephemeral=True
        )
        with closing(unclaimed):
            reconcile(
                store,
                self._publisher,
                Spool(None),  # what it kept lies on its own disk
                previous_heartbeat=worker.last_heartbeat,
                interval=worker.interval,
                error=f"worker {worker.name} is gone: no heartbeat for {worker.silence:.0f} s",
            )
            unclaimed.hand_back([], registered=True)
            return self._publisher.flush(_FLUSH_SECONDS) and unclaimed.delete_queues()
