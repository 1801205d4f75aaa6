"""Attempts that failed are tried again, as often as their action says."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from agent.db.named_statements import Statements
from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.dispatch.retry import BACKOFF, may_retry

_LOOK_BACK = timedelta(hours=6)
_OVERLAP = timedelta(minutes=2)


class _Failed(NamedTuple):
    id: int
    status: str
    cause: str
    retry_count: int
    max_retries: int
    retry_abandoned: bool
    updated: datetime


class Retries:
    """Looks at what has failed since it looked last, a little further back than that."""

    name = "attempts looked at for a retry"
    judges_silence = False

    def __init__(self) -> None:
        """Begin some hours back: what failed while nobody led is not forgotten."""
        self._since: datetime | None = None
        self._sql = Statements("agent.dispatch")

    def run_once(self, connection: Connection) -> int:
        """See ``Monitor``."""
        now: datetime = self._sql.value(connection, "database_time")
        since = self._since or now - _LOOK_BACK
        failed = self._sql.all(connection, _Failed, "failed_attempts", {"since": since})
        for one in failed:
            if may_retry(one.status, one.cause, also_abandoned=one.retry_abandoned):
                self._retry(connection, one)
            else:
                self._sql.run(connection, "decide_no_retry", {"id": one.id})
        self._since = min(failed[-1].updated if failed else now, now - _OVERLAP)
        return len(failed)

    def _retry(self, connection: Connection, failed: _Failed) -> None:
        reason = f"attempt {failed.retry_count + 1} of {failed.max_retries + 1} ended with: {failed.cause}"
        values = {"id": failed.id, "reason": reason, "delay": BACKOFF.pause(failed.retry_count)}
        values |= {"max_retries": failed.max_retries, "step": 1}
        made = self._sql.value(connection, "retry", values)
        if made is not None:
            self._sql.run(connection, "link_retry", {"id": failed.id, "next": made})


class Housekeeping:
    """Companion rows that nobody needs any more, now and then."""

    name = "companion rows removed"
    judges_silence = False
    _PERIOD = 600.0

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with the first turn."""
        self._clock = clock
        self._next = clock()

    def run_once(self, connection: Connection) -> int:
        """See ``Monitor``."""
        if self._clock() < self._next:
            return 0
        self._next = self._clock() + self._PERIOD
        sql = load_queries("agent.dispatch")
        return sum(connection.execute(sql[name].encode()).rowcount for name in ("forget_delays", "clean_up"))
