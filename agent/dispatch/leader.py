"""One dispatcher's monitors run, and all of what they do runs on the connection that holds the lock of the leader.

A lock that is lost is therefore an error of the work itself. Two leaders at once would do no harm, because every
change is conditional: there is one so that alerts come once.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import Protocol

from agent.db.error_translation import translated
from agent.db.pool import Connection, Database
from agent.dispatch.lock_keys import LEADER

log = logging.getLogger(__name__)

_STATEMENT_SECONDS = 30.0


class Monitor(Protocol):
    """One periodic part of the leader."""

    name: str

    def run_once(self, connection: Connection) -> int:
        """Look once, in a transaction of its own; return how many rows were changed. Raises psycopg.Error."""


class Leader:
    """Takes the lock when it is free, then runs the monitors at each turn."""

    def __init__(self, database: Database, monitors: Sequence[Monitor], *, interval: float) -> None:
        """``interval`` is in seconds, between turns and between attempts to become the leader."""
        self._database = database
        self._monitors = monitors
        self._interval = interval
        self._connection: Connection | None = None

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
                if connection is None:
                    return self._interval
                for monitor in self._monitors:
                    with connection.transaction():
                        changed = monitor.run_once(connection)
                    if changed:
                        log.info("%s: %d", monitor.name, changed)
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

    def _campaign(self) -> Connection | None:
        connection = self._database.connect(autocommit=True, statement_timeout=_STATEMENT_SECONDS)
        row = connection.execute("SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))", [LEADER]).fetchone()
        if row is None or not row[0]:
            connection.close()
            return None
        log.info("this dispatcher leads: its monitors run")
        self._connection = connection
        return connection
