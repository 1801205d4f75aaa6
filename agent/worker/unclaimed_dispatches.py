"""What becomes of dispatches that a leaving worker has not claimed.

Promises: drain before exit; unstarted work is handed back.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from agent.errors import BrokerError, DatabaseError
from agent.execution.recording.store import ExecutionStore
from agent.mq import topology
from agent.mq.broker import Broker, Delivery, Publisher
from agent.mq.outgoing_messages import execution_requested

log = logging.getLogger(__name__)


class UnclaimedDispatches:
    """A permanent worker finds them in its queue when it returns; an ephemeral one gives them to the executor."""

    def __init__(
        self, store: ExecutionStore, broker: Broker, publisher: Publisher, *, worker_id: int, ephemeral: bool
    ) -> None:
        """``store`` is used by the stopping thread alone."""
        self._store = store
        self._broker = broker
        self._publisher = publisher
        self._worker_id = worker_id
        self._ephemeral = ephemeral
        self._deserted = False

    def hand_back(self, offers: Sequence[tuple[int, Delivery]], *, registered: bool) -> None:
        """Return what was delivered, and for an ephemeral worker everything that is scheduled for it.

        A worker whose name another process has taken (not ``registered``) speaks for itself only.
        """
        if self._ephemeral and registered and self._reassign():
            self._deserted = True
            for _, delivery in offers:
                delivery.ack()
            return
        for _, delivery in offers:
            delivery.reject(requeue=True)

    def _reassign(self) -> bool:
        if not self._publisher.connected:
            log.warning("the broker is away: unstarted executions stay in this worker's queue")
            return False
        try:
            if not self._store.other_live_workers():
                if not self._store.has_scheduled():
                    return True
                log.warning("no other worker can run them: unstarted executions stay in this worker's queue")
                return False
            rows = self._store.hand_back()
        except DatabaseError as error:
            log.warning("unstarted executions can't be handed back and stay in this worker's queue: %s", error)
            return False
        self._publisher.send(
            [
                execution_requested(
                    row.id,
                    row.action_ref,
                    at=row.updated,
                    action_id=row.action,
                    parent_id=row.parent,
                    enforcement_id=row.enforcement,
                    config=row.config,
                )
                for row in rows
            ]
        )
        if rows:
            log.info("handed %d unstarted executions back to the executor", len(rows))
        return True

    def delete_queues(self) -> bool:
        """Remove the queues of a worker that never returns, only after everything else was sent; whether that is done.

        An executor that had chosen this worker before its row said so may have scheduled more meanwhile.
        """
        if not self._deserted or not self._reassign():
            return False
        try:
            queues, binding = topology.owned_queues(self._worker_id), topology.dead_letter_binding(self._worker_id)
            self._broker.delete(queues, unbind=[binding])
        except BrokerError as error:
            log.warning("the queues of worker %d are left behind: %s", self._worker_id, error)
            return False
        return True

    def close(self) -> None:
        """Close the connection."""
        self._store.close()
