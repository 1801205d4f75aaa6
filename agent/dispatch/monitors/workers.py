"""Workers that fell silent become inactive, after what they had in hand; ephemeral ones are cleaned up after."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from agent.control.outbox import Outbox
from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.dispatch.alerts import Alert, raise_alert
from agent.dispatch.lock_keys import WORKERS
from agent.dispatch.monitors.executions import abandon
from agent.errors import BrokerError
from agent.mq import topology
from agent.mq.broker import Queue

log = logging.getLogger(__name__)

DeleteQueues = Callable[[Sequence[str], Sequence[Queue]], None]


class SilentWorkers:
    """No heartbeat for 90 seconds: ``inactive``, and an alert unless an operator has cordoned the worker."""

    name = "silent workers"

    def __init__(self, outbox: Outbox) -> None:
        """Alert through ``outbox``."""
        self._outbox = outbox
        self._sql = {name: text.encode() for name, text in load_queries("agent.dispatch").items()}

    def run_once(self, connection: Connection) -> int:
        """See ``Monitor``."""
        settled = connection.execute(self._sql["server_is_settled"]).fetchone()
        if settled is None or not settled[0]:
            return 0
        rows = connection.execute(self._sql["silent_workers"]).fetchall()
        for worker_id, name, role, cordoned, heartbeat in rows:
            log.warning("worker %s (id %d) is silent", name, worker_id)
            if not cordoned:
                raise_alert(connection, self._outbox, _alert(worker_id, name, role, heartbeat is None))
        return len(rows)


def _alert(worker_id: int, name: str, role: str, never: bool) -> Alert:
    kind = "missing_heartbeat" if never else "stale_heartbeat"
    return Alert(
        severity="warning",
        category="worker_health",
        failure_type=f"worker_{kind}",
        component_type="worker",
        component_id=worker_id,
        component_ref=name,
        worker_role=role,
        summary=f"worker {name} " + ("never sent a heartbeat" if never else "has sent no heartbeat for 90 seconds"),
        correlation_id=f"worker:{worker_id}:{kind}",
    )


class EphemeralLeftovers:
    """A worker whose name never returns and which died: its work is given away, its queues deleted.

    Its lock is taken first: a worker that lives holds it, however long its heartbeat takes.
    """

    name = "ephemeral workers that are gone"

    def __init__(self, outbox: Outbox, delete_queues: DeleteQueues) -> None:
        """``delete_queues`` removes queues and bindings at the broker."""
        self._outbox = outbox
        self._delete_queues = delete_queues
        self._sql = {name: text.encode() for name, text in load_queries("agent.dispatch").items()}

    def run_once(self, connection: Connection) -> int:
        """See ``Monitor``."""
        return sum(
            self._clean_up(connection, worker_id, name)
            for worker_id, name in connection.execute(self._sql["ephemeral_leftovers"]).fetchall()
        )

    def _clean_up(self, connection: Connection, worker_id: int, name: str) -> int:
        key = {"key": WORKERS | worker_id}
        if connection.execute(self._sql["try_worker_lock"], key).fetchone() != (True,):
            return 0
        try:
            ended = abandon(connection, self._outbox, worker_id, silence=0.0)
            given = len(connection.execute(self._sql["recall_from_worker"], {"worker": worker_id}).fetchall())
            try:
                self._delete_queues(topology.owned_queues(worker_id), [topology.dead_letter_binding(worker_id)])
            except BrokerError as error:
                log.warning("the queues of worker %s can't be deleted yet: %s", name, error)
                return ended + given
            connection.execute(self._sql["retire_worker"], {"id": worker_id})
            log.info("ephemeral worker %s is gone: %d executions abandoned, %d handed back", name, ended, given)
            return 1
        finally:
            connection.execute(self._sql["release_worker_lock"], key)
