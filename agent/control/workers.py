"""Take workers out of use and back: cordon, drain, remove."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psycopg.rows import class_row

from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.errors import Conflict, NotFound
from agent.mq import topology
from agent.mq.broker import Queue

DeleteQueues = Callable[[Sequence[str], Sequence[Queue]], None]
"""Deletes queues by name, and the bindings of others, at the broker; raises BrokerError."""


@dataclass(frozen=True)
class WorkerState:
    """What a worker has in hand; ``heartbeat_age`` is in seconds."""

    id: int
    name: str
    status: str
    heartbeat_age: float | None
    running: int
    scheduled: int

    @property
    def drained(self) -> bool:
        """Whether nothing is left on it."""
        return self.running == 0 and self.scheduled == 0


def cordon(connection: Connection, worker_id: int, reason: str | None, *, by: int | None = None) -> None:
    """Give the worker nothing more. Raises NotFound."""
    text = (reason or "").strip() or None
    _changed(connection, "cordon", worker_id, reason=text, by=by)


def uncordon(connection: Connection, worker_id: int) -> None:
    """Let the worker have work again. Raises NotFound."""
    _changed(connection, "uncordon", worker_id)


def drain(connection: Connection, worker_id: int, reason: str | None, *, by: int | None = None) -> int:
    """Cordon the worker and give what it has not begun to others; return how many. Raises NotFound."""
    cordon(connection, worker_id, reason or "draining", by=by)
    return len(connection.execute(_sql("return_unstarted"), {"id": worker_id}).fetchall())


def worker_state(connection: Connection, worker_id: int) -> WorkerState:
    """Return what the worker has in hand. Raises NotFound."""
    with connection.cursor(row_factory=class_row(WorkerState)) as cursor:
        found = cursor.execute(_sql("worker_state"), {"id": worker_id}).fetchone()
    if found is None:
        raise NotFound(f"there is no worker {worker_id}", hint="see: attune worker list")
    return found


def remove(connection: Connection, worker_id: int, delete_queues: DeleteQueues) -> None:
    """Delete the row of a worker that is gone, and its queues; neither goes without the other.

    Raises:
        NotFound: there is none.
        Conflict: it lives, or has something in hand.
        BrokerError: its queues can't be deleted.
    """
    found = worker_state(connection, worker_id)
    if connection.execute(_sql("remove_worker"), {"id": worker_id}).fetchone() is None:
        state = f"it is {found.status}" if found.drained else f"{found.running + found.scheduled} executions are its"
        raise Conflict(f"worker {found.name} can't be removed: {state}", hint="stop it first; drain it before that")
    queues = (*topology.owned_queues(worker_id), topology.sensors_queue(worker_id).name)
    delete_queues(queues, [topology.dead_letter_binding(worker_id)])


def _changed(connection: Connection, name: str, worker_id: int, **values: object) -> None:
    if connection.execute(_sql(name), {"id": worker_id, **values}).fetchone() is None:
        raise NotFound(f"there is no worker {worker_id}", hint="see: attune worker list")


def _sql(name: str) -> bytes:
    return load_queries("agent.control")[name].encode()
