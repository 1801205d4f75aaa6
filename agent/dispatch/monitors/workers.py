"""Workers that fell silent become inactive, after what they had in hand; ephemeral ones are cleaned up after."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import NamedTuple

from agent.control.outbox import Outbox
from agent.control.workers import DeleteQueues
from agent.db.named_statements import Statements
from agent.db.pool import Connection
from agent.dispatch.alert_raising import raise_alert
from agent.dispatch.monitors.executions import abandon
from agent.errors import BrokerError
from agent.mq import topology
from agent.presence.alerts import Alert
from agent.presence.worker_locks import WorkerLocks

log = logging.getLogger(__name__)


class _Silent(NamedTuple):
    id: int
    name: str
    role: str
    cordoned: bool
    last_heartbeat: datetime | None


class _Gone(NamedTuple):
    id: int
    name: str


class SilentWorkers:
    """No heartbeat for 90 seconds: ``inactive``, and an alert unless an operator has cordoned the worker."""

    name = "silent workers"
    judges_silence = True

    def __init__(self, outbox: Outbox) -> None:
        """Alert through ``outbox``."""
        self._outbox = outbox
        self._sql = Statements("agent.dispatch")

    def run_once(self, connection: Connection) -> int:
        """See ``Monitor``."""
        silent = self._sql.all(connection, _Silent, "silent_workers")
        for worker in silent:
            log.warning("worker %s (id %d) is silent", worker.name, worker.id)
            if not worker.cordoned:
                raise_alert(connection, self._outbox, _alert(worker))
        return len(silent)


def _alert(worker: _Silent) -> Alert:
    never = worker.last_heartbeat is None
    kind = "missing_heartbeat" if never else "stale_heartbeat"
    return Alert(
        severity="warning",
        category="worker_health",
        failure_type=f"worker_{kind}",
        component_type="worker",
        component_id=worker.id,
        component_ref=worker.name,
        worker_role=worker.role,
        summary=f"worker {worker.name} "
        + ("never sent a heartbeat" if never else "has sent no heartbeat for 90 seconds"),
        correlation_id=f"worker:{worker.id}:{kind}",
    )


class EphemeralLeftovers:
    """A worker whose name never returns and which died: its work is given away, its queues deleted.

    Its lock is taken first: a worker that lives holds it, however long its heartbeat takes.
    """

    name = "ephemeral workers that are gone"
    judges_silence = True

    def __init__(self, outbox: Outbox, delete_queues: DeleteQueues) -> None:
        """``delete_queues`` removes queues and bindings at the broker."""
        self._outbox = outbox
        self._delete_queues = delete_queues
        self._locks = WorkerLocks()
        self._sql = Statements("agent.dispatch")

    def run_once(self, connection: Connection) -> int:
        """See ``Monitor``."""
        return sum(
            self._clean_up(connection, worker.id, worker.name)
            for worker in self._sql.all(connection, _Gone, "ephemeral_leftovers")
        )

    def _clean_up(self, connection: Connection, worker_id: int, name: str) -> int:
        if self._locks.take(connection, worker_id) is None:
            return 0
        try:
            ended = abandon(connection, self._outbox, worker_id, silence=0.0)
            given = len(self._sql.values(connection, "recall_from_worker", {"worker": worker_id}))
            try:
                self._delete_queues(topology.owned_queues(worker_id), [topology.dead_letter_binding(worker_id)])
            except BrokerError as error:
                log.warning("the queues of worker %s can't be deleted yet: %s", name, error)
                return ended + given
            self._sql.run(connection, "retire_worker", {"id": worker_id})
            log.info("ephemeral worker %s is gone: %d executions abandoned, %d handed back", name, ended, given)
            return 1
        finally:
            self._locks.release(connection, worker_id)
