"""Dispatches that could not be claimed: most need nothing, but what nobody has in hand any more has to be ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.db.error_translation import may_pass
from agent.errors import DatabaseError
from agent.execution.outcome.results import RESTARTED, Conclusion, cancelled_before_start, worker_lost
from agent.execution.recording.announcements import announce_finish
from agent.execution.recording.row_types import EndedExecution
from agent.execution.recording.store import ExecutionStore
from agent.mq.broker import Publisher

log = logging.getLogger(__name__)


class RefusedDispatches:
    """Part of the coordinator. What it could not look into because the database was away, it looks into later."""

    def __init__(self, store: ExecutionStore, publisher: Publisher) -> None:
        """Read and write through ``store``, announce through ``publisher``."""
        self._store = store
        self._publisher = publisher
        self._open: set[int] = set()
        self._doubtful: set[int] = set()

    def add(self, ids: Iterable[int]) -> None:
        """Take in executions that were dispatched here, are not in hand and could not be claimed."""
        self._open.update(ids)

    @property
    def waiting(self) -> bool:
        """Whether something is left to be looked into."""
        return bool(self._open)

    def settle(self) -> None:
        """End what was cancelled before it started, or lost by an earlier life; say why the others are not run.

        Raises:
            DatabaseError: nothing is lost; call again.
        """
        if not self._open:
            return
        statuses = {found.id: found.status for found in self._store.unclaimed(self._open)}
        for execution_id in sorted(self._open):
            status = statuses.get(execution_id)
            if status == "canceling" or (status == "cancelled" and execution_id in self._doubtful):
                self._end(execution_id, "canceling", cancelled_before_start(), self._store.cancel_unstarted)
            elif status == "running" or (status == "abandoned" and execution_id in self._doubtful):
                self._end(execution_id, "running", worker_lost(RESTARTED), self._store.abandon_unknown)
            else:
                state = "does not exist" if status is None else f"is {status}"
                log.info("execution %d was dispatched here but %s: ignored", execution_id, state)
            self._open.discard(execution_id)
            self._doubtful.discard(execution_id)

    def _end(
        self,
        execution_id: int,
        previous: str,
        conclusion: Conclusion,
        write: Callable[[int, Mapping[str, Any]], EndedExecution | None],
    ) -> None:
        """End one execution; after a lost answer its row may say so already, and then only the messages are missing."""
        self._doubtful.add(execution_id)
        try:
            ended = write(execution_id, conclusion.result)
        except DatabaseError as error:
            if may_pass(error):
                raise
            log.error("execution %d can't be ended as %s: %s", execution_id, conclusion.status, error)
            return
        if ended is not None:
            self._publisher.send(announce_finish(*ended, previous=previous))
