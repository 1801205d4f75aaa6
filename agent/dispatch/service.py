"""The dispatcher as a part of a process: its threads, and the order in which they start and stop."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from agent.control.outbox import Outbox, broker_in_database
from agent.db.pool import Database
from agent.dispatch.leader import Leader, Monitor
from agent.dispatch.monitors.executions import LeftBehind, LostExecutions, OverdueCancellations
from agent.dispatch.monitors.retries import Housekeeping, Retries
from agent.dispatch.monitors.workers import EphemeralLeftovers, SilentWorkers
from agent.dispatch.round import Counts, PlacementRound
from agent.dispatch.ticker import Ticker
from agent.dispatch.wakeup import Wakeup
from agent.mq import topology
from agent.mq.broker import Broker, Delivery, Outgoing, Publisher, Queue, Subscription
from agent.settings import Settings
from agent.threads import ThreadGroup

log = logging.getLogger(__name__)

_WAITING_PAUSE, _IDLE_PAUSE = 0.5, 5.0
"""Seconds between rounds while something waits or was given out and not begun, and otherwise."""

_SOON = 0.01
"""Seconds until a slot that became free is given away: a worker has its reserve meanwhile, and others end, too."""

_LONGEST_REST = 0.02
"""Seconds, at most, between two rounds while requests come one by one; see ``Ticker``."""

_CONNECTIONS = 2


class Dispatcher:
    """Places what is requested until it is stopped. Any number of them may run on one database."""

    def __init__(self, settings: Settings, broker: Broker, publisher: Publisher, threads: ThreadGroup) -> None:
        """Prepare; ``publisher`` is running, or will be."""
        pool = dataclasses.replace(settings.database, max_connections=_CONNECTIONS, min_connections=1)
        self._database = Database(pool, application_name="attune-server dispatcher")
        self._broker = broker
        self._threads = threads
        self.outbox = Outbox(in_database=broker_in_database(settings))
        self._round = PlacementRound(self._database, settings, self.outbox, lambda sent: _send(publisher, sent))
        self._rounds = Ticker("placing executions", self._place, longest_rest=_LONGEST_REST)
        self._wakeup = Wakeup(self._database, self._rounds.wake, self._slot_is_free)
        self._leader = Leader(self._database, self._monitors(), interval=settings.dispatcher.monitor_interval)
        self._leading = Ticker("the monitors", self._leader.run_once)
        self._dead_letters = broker.consumer(
            Subscription(topology.DEAD_LETTER_QUEUE, "dispatcher-dead-letters", 100, self._dead_letter)
        )
        self._something_waits = True
        self.last = Counts()
        self.totals = Counts()

    @property
    def leads(self) -> bool:
        """Whether the monitors run in this process."""
        return self._leader.leads

    @property
    def hears(self) -> bool:
        """Whether notifications of the database reach this process."""
        return self._wakeup.hears.is_set()

    def wake(self) -> None:
        """Look at what waits, soon. Needed only where the database's notifications do not come."""
        if not self.hears:
            self._rounds.wake()

    def start(self) -> None:
        """Start every thread; nothing is waited for."""
        self._threads.start("dispatch-listen", self._wakeup.run)
        self._threads.start("dispatch-round", self._rounds.run)
        self._threads.start("dispatch-leader", self._lead)
        self._threads.start("dispatch-dead-letters", self._dead_letters.run)

    def stop(self) -> None:
        """Begin no further round; what is under way is finished by whoever joins the threads."""
        self._wakeup.stop()
        for ticker in (self._rounds, self._leading):
            ticker.stop()
        self._dead_letters.stop()
        self._dead_letters.close()

    def close(self) -> None:
        """Close the connections, once the threads have ended."""
        self._leader.resign()
        self._database.close()

    def _monitors(self) -> Sequence[Monitor]:
        """Rows first, the workers last: a worker that is ``inactive`` must have nothing left."""
        return (
            LeftBehind(),
            LostExecutions(self.outbox),
            EphemeralLeftovers(self.outbox, self._delete_queues),
            OverdueCancellations(self.outbox),
            Retries(),
            SilentWorkers(self.outbox),
            Housekeeping(),
        )

    def _delete_queues(self, queues: Sequence[str], unbind: Sequence[Queue]) -> None:
        self._broker.delete(queues, unbind=unbind)

    def _slot_is_free(self) -> None:
        """Most executions end while nothing waits for their slot: a round would find nothing to do."""
        if self._something_waits:
            self._rounds.wake(within=_SOON)

    def _place(self) -> float:
        self._something_waits = True  # whatever ends from now on may be too late for this round
        counts = self.last = self._round.run_once()
        self._something_waits = counts.waiting > 0 or counts.more
        self.totals.placed += counts.placed
        self.totals.recalled += counts.recalled
        self.totals.failed += counts.failed
        if counts.more:
            return 0.0
        return _WAITING_PAUSE if counts.waiting or counts.unclaimed else _IDLE_PAUSE

    def _lead(self) -> None:
        try:
            self._leading.run()
        finally:
            self._leader.resign()

    def _dead_letter(self, delivery: Delivery) -> None:
        """A dispatch that nobody took in time: its row tells the rest."""
        delivery.ack()
        self._rounds.wake()


def _send(publisher: Publisher, messages: list[Outgoing]) -> None:
    if messages:
        publisher.send(messages)
