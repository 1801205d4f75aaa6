"""End an execution: at once where nobody has begun it, else by asking its worker. Whatever is written is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from psycopg.types.json import Jsonb

from agent.control.ends import Ended, announcements
from agent.db.named_statements import Statements
from agent.db.pool import Connection
from agent.errors import Conflict, NotFound
from agent.execution.outcome.results import cancelled_before_start
from agent.mq.broker import Outgoing
from agent.mq.messages import CancelRequest
from agent.mq.outgoing_messages import cancel_request, status_changed

ENDED = frozenset({"completed", "failed", "cancelled", "timeout", "abandoned"})
WAITING = frozenset({"requested", "scheduling", "scheduled"})


class _Locked(NamedTuple):
    status: str
    worker: int | None
    action_ref: str


def cancel_row(connection: Connection, execution_id: int) -> tuple[str, list[Outgoing]]:
    """Write the cancellation; return the new status and the messages that belong to the transaction.

    Raises:
        NotFound: there is none with this id.
        Conflict: it has ended already.
    """
    sql = Statements("agent.control")
    row = sql.one(connection, _Locked, "lock_execution", {"id": execution_id})
    if row is None:
        raise NotFound(f"there is no execution {execution_id}", hint="see: attune execution list")
    status, worker = row.status, row.worker
    if status in ENDED:
        raise Conflict(f"execution {execution_id} has already ended: {status}")
    if status in WAITING or worker is None:
        values = {"id": execution_id, "result": Jsonb(cancelled_before_start().result), "previous": status}
        return "cancelled", announcements(sql.all(connection, Ended, "cancel_waiting", values))
    messages: list[Outgoing] = []
    now = datetime.now(UTC)
    if status != "canceling":
        sql.run(connection, "cancel_running", {"id": execution_id})
        messages.append(status_changed(execution_id, row.action_ref, status, "canceling", changed_at=now))
    messages.append(cancel_request(CancelRequest(execution_id, worker), at=now))
    return "canceling", messages
