"""One dispatcher's monitors run, and all of what they do runs on the connection that holds the lock of the leader.

A lock that is lost is therefore an error of the work itself. Two leaders at once would do no harm, because every
change is conditional: there is one so that alerts come once.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import psycopg

from agent.db.error_translation import reason, translated
from agent.db.named_statements import Statements
from agent.db.pool import Connection, Database
from agent.dispatch.lock_keys import LEADER
from agent.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

_STATEMENT_SECONDS = 30.0

SETTLED_AFTER = 100.0
"""Seconds after the database was away, restarted or not, until a worker's silence means anything: while it was away no
worker could write its heartbeat, and each needs one interval and a new connection to do so."""


class Monitor(Protocol):
    """One periodic part of the leader."""

    name: str
    judges_silence: bool
    """Whether it takes an old heartbeat for a dead worker; it then rests until the database has been back a while."""

    def run_once(self, connection: Connection) -> int:
        """Look once, in a transaction of its own; return how many rows were changed. Raises psycopg.Error."""


class Leader:
    """Takes the lock when it is free, then runs the monitors at each turn."""

    def __init__(
        self,
        database: Database,
        monitors: Sequence[Monitor],
        *,
        interval: float,
        settled_after: float = SETTLED_AFTER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``interval`` is in seconds, between turns and between attempts to become the leader.

        ``settled_after``: see ``SETTLED_AFTER``.
        """
        self._database = database
        self._monitors = monitors
        self._interval = interval
        self._settled_after = settled_after
        self._clock = clock
        self._connection: Connection | None = None
        self._away_at: float | None = None
        self._sql = Statements("agent.dispatch")

    @property
    def leads(self) -> bool:
        """Whether this process is the leader, as far as it knows."""
        return self._connection is not None

    def run_once(self) -> float:
        """Do one turn; return the seconds until the next.

        Raises:
            DatabaseError: the lock may be lost; the next turn asks for it again.
        """
        try:
            with translated(self._database.address.label):
                connection = self._connection or self._campaign()
                if connection is not None:
                    self._watch(connection)
        except DatabaseUnavailable:
            self._away_at = self._clock()
            self.resign()
            raise
        except BaseException:
            self.resign()
            raise
        return self._interval

    def resign(self) -> None:
        """Give the lock up, so that another may lead at once."""
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None

    def _watch(self, connection: Connection) -> None:
        """Give each monitor its turn, also after one that failed."""
        settled = self._settled(connection)
        failed: psycopg.Error | None = None
        for monitor in self._monitors:
            if monitor.judges_silence and not settled:
                continue
            try:
                with connection.transaction():
                    changed = monitor.run_once(connection)
            except psycopg.Error as error:
                if connection.closed:
                    raise
                log.warning("%s: failed and is tried again: %s", monitor.name, reason(error))
                failed = failed or error
                continue
            if changed:
                log.info("%s: %d", monitor.name, changed)
        if failed is not None:
            raise failed

    def _settled(self, connection: Connection) -> bool:
        if self._away_at is not None and self._clock() - self._away_at < self._settled_after:
            return False
        values = {"seconds": self._settled_after}
        return bool(self._sql.value(connection, "server_is_settled", values))

    def _campaign(self) -> Connection | None:
        connection = self._database.connect(autocommit=True, statement_timeout=_STATEMENT_SECONDS)
        row = connection.execute("SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))", [LEADER]).fetchone()
        if row is None or not row[0]:
            connection.close()
            return None
        log.info("this dispatcher leads: its monitors run")
        self._connection = connection
        return connection
