"""Executions whose worker is gone, whose scheduler left them, or whose cancellation nobody carries out."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from agent.control.ends import Ended, announcements
from agent.control.outbox import Outbox
from agent.db.named_statements import Statements
from agent.db.pool import Connection
from agent.dispatch.alert_raising import raise_alert
from agent.liveness import DEAD_AFTER
from agent.mq.messages import CancelRequest
from agent.mq.outgoing_messages import cancel_request
from agent.presence.alerts import Alert

_AGAIN_SECONDS = 15.0


class LostExecutions:
    """``running`` on a worker that is gone becomes ``abandoned``, ``canceling`` becomes ``cancelled``."""

    name = "executions of workers that are gone"
    judges_silence = True

    def __init__(self, outbox: Outbox) -> None:
        """Tell of each end through ``outbox``."""
        self._outbox = outbox
        self._sql = Statements("agent.dispatch")

    def run_once(self, connection: Connection) -> int:
        """See ``Monitor``."""
        ended = self._sql.all(connection, Ended, "finish_unplaced_cancellations")
        self._outbox.add(connection, announcements(ended))
        lost = self._sql.values(connection, "lost_workers")
        return len(ended) + sum(abandon(connection, self._outbox, worker, silence=DEAD_AFTER) for worker in lost)


def abandon(connection: Connection, outbox: Outbox, worker: int | None, *, silence: float) -> int:
    """End what a worker that is gone has in hand; return how many. ``silence`` is the age of its last heartbeat.

    Raises:
        psycopg.Error: the transaction is over.
    """
    ended = Statements("agent.dispatch").all(connection, Ended, "abandon", {"worker": worker, "silence": silence})
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
    judges_silence = False

    def run_once(self, connection: Connection) -> int:
        """See ``Monitor``."""
        return len(Statements("agent.dispatch").values(connection, "restore_scheduling"))


class OverdueCancellations:
    """A worker that lives and has not ended what it was to cancel is asked again."""

    name = "cancellations sent again"
    judges_silence = False

    def __init__(self, outbox: Outbox, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask through ``outbox``."""
        self._outbox = outbox
        self._clock = clock
        self._asked: dict[int, float] = {}

    def run_once(self, connection: Connection) -> int:
        """See ``Monitor``."""
        overdue = Statements("agent.dispatch").all(connection, CancelRequest, "overdue_cancellations")
        now = self._clock()
        ids = [one.execution_id for one in overdue]
        self._asked = {id_: self._asked[id_] for id_ in ids if id_ in self._asked}
        due = [one for one in overdue if now - self._asked.get(one.execution_id, float("-inf")) >= _AGAIN_SECONDS]
        self._asked |= {one.execution_id: now for one in due}
        at = datetime.now(UTC)
        self._outbox.add(connection, [cancel_request(one, at=at, source="executor-service") for one in due])
        return len(due)
