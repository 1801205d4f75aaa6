"""Attempts that failed are tried again, as often as their action says."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.dispatch.retry import delay, may_retry

_LOOK_BACK = timedelta(hours=6)
_OVERLAP = timedelta(minutes=2)


class Retries:
    """Looks at what has failed since it looked last, a little further back than that."""

    name = "attempts looked at for a retry"

    def __init__(self) -> None:
        """Begin some hours back: what failed while nobody led is not forgotten."""
        self._since: datetime | None = None
        self._sql = {name: text.encode() for name, text in load_queries("agent.dispatch").items()}

    def run_once(self, connection: Connection) -> int:
        """See ``Monitor``."""
        row = connection.execute(self._sql["database_time"]).fetchone()
        assert row is not None, "SELECT without FROM gives one row"
        now: datetime = row[0]
        since = self._since or now - _LOOK_BACK
        rows = connection.execute(self._sql["failed_attempts"], {"since": since}).fetchall()
        for execution_id, status, cause, retry_count, max_retries, _ in rows:
            if not may_retry(status, cause):
                connection.execute(self._sql["decide_no_retry"], {"id": execution_id})
                continue
            self._retry(connection, execution_id, cause, retry_count, max_retries, seconds=delay(retry_count))
        self._since = min(rows[-1][5] if rows else now, now - _OVERLAP)
        return len(rows)

    def _retry(
        self,
        connection: Connection,
        execution_id: int,
        cause: str,
        retry_count: int,
        max_retries: int,
        *,
        seconds: float,
    ) -> None:
        reason = f"attempt {retry_count + 1} of {max_retries + 1} ended with: {cause}"
        values = {"id": execution_id, "reason": reason, "delay": seconds, "max_retries": max_retries, "step": 1}
        made = connection.execute(self._sql["retry"], values).fetchone()
        if made is not None:
            connection.execute(self._sql["link_retry"], {"id": execution_id, "next": made[0]})


class Housekeeping:
    """Companion rows that nobody needs any more, now and then."""

    name = "companion rows removed"
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
