"""Dispatches that could not be claimed: most need nothing, but one that is being cancelled has to be ended."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from agent.execution.announcements import announce_finish
from agent.execution.results import cancelled_before_start
from agent.execution.store import ExecutionStore
from agent.mq.broker import Publisher

log = logging.getLogger(__name__)


class Refusals:
    """Part of the ledger. What it could not look into because the database was away, it looks into later."""

    def __init__(self, store: ExecutionStore, publisher: Publisher) -> None:
        """Read and write through ``store``, announce through ``publisher``."""
        self._store = store
        self._publisher = publisher
        self._open: set[int] = set()

    def add(self, ids: Iterable[int]) -> None:
        """Take in executions that were dispatched here, are not in hand and could not be claimed."""
        self._open.update(ids)

    @property
    def waiting(self) -> bool:
        """Whether something is left to be looked into."""
        return bool(self._open)

    def settle(self) -> None:
        """End what was cancelled before it started and say why the others are not run.

        Raises:
            DatabaseError: nothing is lost; call again.
        """
        if not self._open:
            return
        statuses = {row[0]: row[1] for row in self._store.unclaimed(self._open)}
        canceling = [execution_id for execution_id, status in statuses.items() if status == "canceling"]
        cancelled = self._store.cancel_unstarted(canceling, cancelled_before_start().result) if canceling else []
        for execution_id in sorted(self._open):
            state = f"is {statuses[execution_id]}" if execution_id in statuses else "does not exist"
            log.info("execution %d was dispatched here but %s: ignored", execution_id, state)
        self._open.clear()
        for execution_id, action_id, action_ref, result, ended_at in cancelled:
            self._publisher.send(
                announce_finish(execution_id, action_id, action_ref, "canceling", "cancelled", result, ended_at)
            )
