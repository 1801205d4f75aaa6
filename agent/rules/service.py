"""The rule processor as a part of a process: its threads, and the order in which they start and stop."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from agent.control.outbox import Outbox, broker_in_database
from agent.db.listening import Listener
from agent.db.pool import Database
from agent.dispatch.ticker import Ticker
from agent.rules.processor import BATCH, Counts, RuleProcessor
from agent.settings import Settings
from agent.threads import ThreadGroup

_IDLE_PAUSE = 5.0
_TIDY_EVERY = 600.0


class Rules:
    """Turns events into executions until it is stopped. Any number of them may run on one database."""

    def __init__(self, settings: Settings, threads: ThreadGroup, executions_wait: Callable[[], None]) -> None:
        """``executions_wait`` is called after executions were requested."""
        pool = dataclasses.replace(settings.database, max_connections=2, min_connections=1)
        self._database = Database(pool, application_name="attune-server rules")
        self._threads = threads
        self._executions_wait = executions_wait
        outbox = Outbox(in_database=broker_in_database(settings))
        self._processor = RuleProcessor(self._database, outbox, settings.security.encryption_key)
        self._rounds = Ticker("processing events", self._round)
        self._listener = Listener(self._database, ("event_created",), lambda notice: self._rounds.wake())
        self._tidied = time.monotonic()
        self.totals = Counts()

    def start(self) -> None:
        """Start every thread. Raises DatabaseError."""
        self._processor.register()
        self._threads.start("rules-listen", self._listener.run)
        self._threads.start("rules-round", self._rounds.run)

    def wake(self) -> None:
        """Look at what waits, soon."""
        self._rounds.wake()

    def stop(self) -> None:
        """Begin no further round."""
        self._listener.stop()
        self._rounds.stop()

    def close(self) -> None:
        """Close the connections, once the threads have ended."""
        self._database.close()

    def _round(self) -> float:
        counts = self._processor.run_once()
        self.totals.events += counts.events
        self.totals.matched += counts.matched
        self.totals.failed += counts.failed
        if counts.matched > counts.failed:
            self._executions_wait()
        if counts.events >= BATCH:
            return 0.0
        if time.monotonic() - self._tidied > _TIDY_EVERY:
            self._tidied = time.monotonic()
            self._processor.tidy()
        return _IDLE_PAUSE
