"""Executions whose worker is gone, whose scheduler left them, or whose cancellation nobody carries out."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from agent.control.ends import Ended, announcements
from agent.control.outbox import Outbox
from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.dispatch.alerts import Alert, raise_alert
from agent.liveness import DEAD_AFTER
from agent.mq.messages import CancelRequest, cancel_request

_AGAIN_SECONDS = 15.0


class LostExecutions:
    """``running`` on a worker that is gone becomes ``abandoned``, ``canceling`` becomes ``cancelled``."""

    name = "executions of workers that are gone"

    def __init__(self, outbox: Outbox) -> None:
        """Tell of each end through ``outbox``."""
        self._outbox = outbox
        self._sql = {name: text.encode() for name, text in load_queries("agent.dispatch").items()}

    def run_once(self, connection: Connection) -> int:
        """See ``Monitor``."""
        settled = connection.execute(self._sql["server_is_settled"]).fetchone()
        if settled is None or not settled[0]:
            return 0
        rows = connection.execute(self._sql["finish_unplaced_cancellations"]).fetchall()
        self._outbox.add(connection, announcements(Ended(*row) for row in rows))
        lost = [row[0] for row in connection.execute(self._sql["lost_workers"])]
        return len(rows) + sum(abandon(connection, self._outbox, worker, silence=DEAD_AFTER) for worker in lost)


def abandon(connection: Connection, outbox: Outbox, worker: int | None, *, silence: float) -> int:
    """End what a worker that is gone has in hand; return how many. ``silence`` is the age of its last heartbeat.

    Raises:
        psycopg.Error: the transaction is over.
    """
    sql = load_queries("agent.dispatch")["abandon"].encode()
    ended = [Ended(*row) for row in connection.execute(sql, {"worker": worker, "silence": silence})]
    outbox.add(connection, announcements(ended))
    for one in ended:
        if one.status != "abandoned":
            continue
        summary = f"execution {one.id} was abandoned: its worker is gone"
        alert = Alert(
            severity="error",
            category="execution_reconciliation",
            failure_type="execution_abandoned_worker_unavailable",
            component_type="execution",
            component_id=one.id,
            component_ref=one.action_ref,
            summary=summary,
            correlation_id=f"execution:{one.id}:worker_unavailable",
            details={"worker": (one.result or {}).get("worker")},
        )
        raise_alert(connection, outbox, alert)
    return len(ended)


class LeftBehind:
    """What another scheduler took and did not place is requested again."""

    name = "executions that another scheduler left"

    def run_once(self, connection: Connection) -> int:
        """See ``Monitor``."""
        sql = load_queries("agent.dispatch")["restore_scheduling"].encode()
        return len(connection.execute(sql).fetchall())


class OverdueCancellations:
    """A worker that lives and has not ended what it was to cancel is asked again."""

    name = "cancellations sent again"

    def __init__(self, outbox: Outbox, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask through ``outbox``."""
        self._outbox = outbox
        self._clock = clock
        self._asked: dict[int, float] = {}

    def run_once(self, connection: Connection) -> int:
        """See ``Monitor``."""
        sql = load_queries("agent.dispatch")["overdue_cancellations"].encode()
        rows = connection.execute(sql).fetchall()
        now = self._clock()
        self._asked = {row[0]: self._asked[row[0]] for row in rows if row[0] in self._asked}
        due = [row for row in rows if now - self._asked.get(row[0], float("-inf")) >= _AGAIN_SECONDS]
        self._asked |= {row[0]: now for row in due}
        at = datetime.now(UTC)
        self._outbox.add(
            connection, [cancel_request(CancelRequest(*row), at=at, source="executor-service") for row in due]
        )
        return len(due)
