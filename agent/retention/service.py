"""The part ``retention`` of ``attune server``: of all that run, the one that holds the lock prunes."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping

from agent.db.error_translation import translated
from agent.db.pool import Connection, Database
from agent.dispatch.ticker import Ticker
from agent.retention.pruning import Pruning
from agent.settings import Settings
from agent.threads import ThreadGroup

log = logging.getLogger(__name__)

LOCK = 0x41747454
"""Held by the process that prunes; its second half is the schema."""


class Retention:
    """Prunes at every ``retention.interval``, where this process leads.

    All that it does runs on the connection that holds the lock: a lock that is lost is an error of the work itself.
    """

    def __init__(self, settings: Settings, database: Database, threads: ThreadGroup) -> None:
        """Prepare; nothing runs before ``start``."""
        self._database = database
        self._interval = settings.retention.interval
        self._threads = threads
        self._stopping = threading.Event()
        self._connection: Connection | None = None
        self._pruning = Pruning(settings, stopped=self._stopping.is_set, rest=self._stopping.wait)
        self._ticker = Ticker("retention", self._turn)

    @property
    def leads(self) -> bool:
        """Whether this process prunes, as far as it knows."""
        return self._connection is not None

    @property
    def totals(self) -> Mapping[str, int]:
        """How much of each kind this process has deleted."""
        return dict(self._pruning.totals)

    def start(self) -> None:
        """Begin."""
        self._threads.start("retention", self._ticker.run)

    def stop(self) -> None:
        """End after the batch that is under way."""
        self._stopping.set()
        self._ticker.stop()

    def close(self) -> None:
        """Give the lock up, so that another may prune at once."""
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None

    def _turn(self) -> float:
        try:
            with translated(self._database.address.label):
                connection = self._connection or self._campaign()
            if connection is not None:
                self._pruning.run_once(connection)
        except BaseException:
            self.close()
            raise
        return self._interval

    def _campaign(self) -> Connection | None:
        connection = Pruning.connect(self._database)
        row = connection.execute("SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))", [LOCK]).fetchone()
        if row is None or not row[0]:
            connection.close()
            return None
        log.info("this process prunes what is old")
        self._connection = connection
        return connection
