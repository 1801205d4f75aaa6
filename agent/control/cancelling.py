"""End an execution: at once where nobody has begun it, else by asking its worker. Whatever is written is told."""

from __future__ import annotations

from datetime import UTC, datetime

from psycopg.types.json import Jsonb

from agent.control.ends import Ended, announcements
from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.errors import Conflict, NotFound
from agent.execution.outcome.results import cancelled_before_start
from agent.mq.broker import Outgoing
from agent.mq.messages import CancelRequest, cancel_request, status_changed

ENDED = frozenset({"completed", "failed", "cancelled", "timeout", "abandoned"})
WAITING = frozenset({"requested", "scheduling", "scheduled"})


def cancel_row(connection: Connection, execution_id: int) -> tuple[str, list[Outgoing]]:
    """Write the cancellation; return the new status and the messages that belong to the transaction.

    Raises:
        NotFound: there is none with this id.
        Conflict: it has ended already.
    """
    queries = load_queries("agent.control")
    row = connection.execute(queries["lock_execution"].encode(), {"id": execution_id}).fetchone()
    if row is None:
        raise NotFound(f"there is no execution {execution_id}", hint="see: attune execution list")
    status, worker, action_ref = str(row[0]), row[1], row[2]
    if status in ENDED:
        raise Conflict(f"execution {execution_id} has already ended: {status}")
    if status in WAITING or worker is None:
        values = {"id": execution_id, "result": Jsonb(cancelled_before_start().result), "previous": status}
        ended = connection.execute(queries["cancel_waiting"].encode(), values).fetchall()
        return "cancelled", announcements(Ended(*one) for one in ended)
    messages: list[Outgoing] = []
    now = datetime.now(UTC)
    if status != "canceling":
        connection.execute(queries["cancel_running"].encode(), {"id": execution_id})
        messages.append(status_changed(execution_id, action_ref, status, "canceling", changed_at=now))
    messages.append(cancel_request(CancelRequest(execution_id, worker), at=now))
    return "canceling", messages
