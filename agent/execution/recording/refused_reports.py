"""Ends that the server refuses to store: one must not hold up the others, nor its own execution."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from agent.db.error_translation import may_pass
from agent.errors import DatabaseError
from agent.execution.outcome.results import not_storable
from agent.execution.recording.pending_reports import PendingReports
from agent.execution.recording.store import ExecutionStore
from agent.execution.report import Finished, Report

log = logging.getLogger(__name__)


def store_one_by_one(
    store: ExecutionStore, pending: PendingReports, announce: Callable[[Sequence[Finished]], None]
) -> None:
    """Write each report that waits by itself; one that is refused is written without its result, which says why."""
    for report in list(pending.waiting):
        try:
            _, finished = store.record([], [report])
        except DatabaseError as error:
            if may_pass(error):
                return
            log.error("the result of execution %d can't be stored: %s", report.execution_id, error)
            bare = _store_bare(store, pending, report, error)
            if bare is None:
                continue  # the server refuses everything: an operator has to look after it, the report waits
            finished = bare
        certain = pending.trust([report], finished)
        announce(finished)
        pending.forget(certain, finished)


def _store_bare(
    store: ExecutionStore, pending: PendingReports, report: Report, error: DatabaseError
) -> list[Finished] | None:
    end = not_storable(str(error))
    bare = Report(report.execution_id, report.action_id, report.action_ref, end.status, end.result)
    try:
        return store.record([], [bare])[1]
    except DatabaseError as second:
        log.error("execution %d can't be ended: %s", report.execution_id, second)
        if may_pass(second):  # it may have been written, and is to be recognised then
            pending.replace(report, bare)
        return None
