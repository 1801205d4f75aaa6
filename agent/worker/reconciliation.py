"""What the previous process of this worker left behind is brought to an end before anything new begins.

Promises: commit before publish; every execution ends; outages lose nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from agent.db.error_translation import may_pass
from agent.errors import DatabaseError
from agent.execution.outcome.results import RESTARTED, cancelled_with_its_worker, worker_lost
from agent.execution.recording.announcements import announce_completion, announce_end
from agent.execution.recording.row_types import OrphanedExecution
from agent.execution.recording.spool import Spool
from agent.execution.recording.store import ExecutionStore
from agent.execution.report import LogFile, Report
from agent.mq.broker import MAX_BACKLOG, Publisher

log = logging.getLogger(__name__)


def reconcile(
    store: ExecutionStore,
    publisher: Publisher,
    spool: Spool,
    *,
    previous_heartbeat: datetime | None,
    interval: float,
    unannounced: datetime | None = None,
    left_logs: Callable[[str, int], tuple[LogFile, ...]] = lambda _ref, _id: (),
    error: str | None = None,
) -> None:
    """End what the previous process left running and repeat the completions it may not have published.

    Only for the holder of the worker's lock. ``interval`` is the heartbeat's, in seconds: whatever ended before the
    last heartbeat but one was published before it, or ``unannounced`` or the spool says since when messages waited.
    ``left_logs`` finds the logs that it did not come to file, by the action and the id of their execution; ``error`` is
    what executions that were running say.

    Raises:
        DatabaseError: nothing was lost; the next start tries again.
    """
    store.end_earlier_sessions()
    spooled = list(spool.waiting())
    for report in spooled:
        try:
            _write(store, publisher, [report])
        except DatabaseError as refusal:
            if may_pass(refusal):
                raise
            # Its row is still running, so that it is abandoned below: better than a worker that can't start.
            log.error("the spooled result of execution %d can't be stored: %s", report.execution_id, refusal)
        spool.remove(report)
    left = [
        replace(_abandoned(orphan, error), logs=left_logs(orphan.action_ref, orphan.id)) for orphan in store.orphaned()
    ]
    _write(store, publisher, left)
    if left or spooled:
        log.warning("ended %d executions and wrote %d results of the previous process", len(left), len(spooled))
    since = [previous_heartbeat, unannounced, spool.unannounced()]
    if any(since):
        # Written just now or not: a completion has the same id each time, so a second one is recognised.
        known = {report.execution_id for report in (*left, *spooled)}
        for ended in store.recently_ended(min(filter(None, since)) - timedelta(seconds=interval)):
            if ended.id not in known and ended.action is not None:
                while publisher.backlog > MAX_BACKLOG // 2:
                    publisher.flush(1.0)
                publisher.send(
                    [
                        announce_completion(
                            ended.id, ended.action, ended.action_ref, ended.status, ended.result, ended.updated
                        )
                    ]
                )


def _write(store: ExecutionStore, publisher: Publisher, reports: Sequence[Report]) -> None:
    for report in reports:
        # Written already, it may be that nobody was told.
        ends = store.already_finished([report]) or store.record([], [report])[1] or store.already_finished([report])
        for done in ends:
            publisher.send(announce_end(done))


def _abandoned(orphan: OrphanedExecution, error: str | None) -> Report:
    end = cancelled_with_its_worker() if orphan.status == "canceling" else worker_lost(error or RESTARTED)
    return Report(orphan.id, orphan.action, orphan.action_ref, end.status, end.result)
