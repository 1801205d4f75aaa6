"""An execution store that keeps its rows in memory, with the conditions of the statements in ``queries.sql``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import psycopg

from agent.errors import DatabaseError, DatabaseUnavailable
from agent.execution.model import Action, Claim, Execution
from agent.execution.recording.row_types import EndedExecution, ExecutionStatus, OrphanedExecution, RequestedExecution
from agent.execution.recording.store import ExecutionStore
from agent.execution.report import Finished, Report
from tests.unit.fakes.clock import FakeClock
from tests.unit.fakes.journal import Journal

ME, SOMEBODY_ELSE = 1, 2
ACTION = Action(10, "core.noop", 1, "core", "noop.sh")
RUNS, ENDED = ("running", "canceling"), ("completed", "failed", "cancelled", "timeout", "abandoned")


class Trouble(Enum):
    """What becomes of one call."""

    #: Nothing is written, the connection breaks.
    AWAY = "away"
    #: Everything is written, the connection breaks before the answer.
    LOST = "lost"
    #: The connection breaks before the answer; what was sent is committed only while the next statement waits for it.
    LATE = "late"
    #: Of two transactions only the first one is written, the server refuses the second one.
    HALF = "half"
    #: A conflict with another transaction: the same statement may succeed later.
    CONFLICT = "conflict"
    #: The server refuses the statement for good.
    REFUSED = "refused"


@dataclass
class Row:
    """A row of ``execution``; one that ``allocates`` files ends in a transaction. ``claims``: how often it was."""

    id: int
    status: str = "scheduled"
    worker: int | None = ME
    action: int | None = ACTION.id
    result: Mapping[str, Any] | None = None
    started_at: datetime | None = None
    updated: datetime | None = None
    allocates: bool = False
    claims: int = 0


class FakeStore(ExecutionStore):
    """See ``ExecutionStore``.

    ``troubles`` meet the next calls, one each, ``troubles_of`` those of one method. What the ``unstorable`` executions
    report as completed is refused. ``during`` is called within each call.
    """

    def __init__(self, journal: Journal, clock: FakeClock) -> None:
        self._journal = journal
        self._clock = clock
        self.rows: dict[int, Row] = {}
        self.actions = {ACTION.id: ACTION}
        self.troubles: deque[Trouble] = deque()
        self.troubles_of: dict[str, list[Trouble | None]] = {}
        self.during: Callable[[], object] = lambda: None
        self.unstorable: set[int] = set()
        self.away = False
        self.closed = False
        self.calls: list[str] = []
        self.others_alive = 1
        self.began = clock.now()
        self._late: tuple[list[int], list[Report], set[int]] | None = None

    def add(self, *ids: int, **columns: Any) -> None:
        """Insert rows that are scheduled for this worker, or as ``columns`` say."""
        for id_ in ids:
            self.rows[id_] = replace(Row(id_, updated=self._clock.now()), **columns)

    def end_elsewhere(self, execution_id: int, status: str = "abandoned") -> None:
        """Let somebody else, such as a monitor, end an execution."""
        self._write(self.rows[execution_id], status, {"cause": "worker_lost"})

    # What the coordinator calls.

    def record(
        self, ids: Sequence[int], reports: Sequence[Report], *, again: Iterable[int] = ()
    ) -> tuple[list[Claim], list[Finished]]:
        """Claim and finish, in one transaction or two."""
        trouble = self._meet("record")
        if self._late is not None:
            late, self._late = self._late, None
            self._commit(*late, with_files=True)
        if trouble is Trouble.LATE:
            self._late = (list(ids), list(reports), set(again))
            raise DatabaseUnavailable("the connection was lost")
        claims: list[Claim] = []
        finished: list[Finished] = []
        again = set(again)
        if not any(report.logs or report.secrets for report in reports):
            claims, finished = self._commit(ids, reports, again, with_files=False)
            written = {done.report.execution_id for done in finished}
            ids, reports = (), [report for report in reports if report.execution_id not in written]
        if trouble is Trouble.HALF:
            raise DatabaseError("refused the second transaction") from psycopg.errors.DiskFull()
        if ids or reports:
            more_claims, more_finished = self._commit(ids, reports, again, with_files=True)
            claims, finished = [*claims, *more_claims], [*finished, *more_finished]
        self._answer(trouble)
        return claims, finished

    def load_actions(self, ids: Iterable[int]) -> dict[int, Action]:
        """Read definitions."""
        self._answer(self._meet("load_actions"))
        return {id_: self.actions[id_] for id_ in ids if id_ in self.actions}

    def already_finished(self, reports: Sequence[Report]) -> list[Finished]:
        """Return those that the rows hold as they are."""
        self._answer(self._meet("already_finished"))
        held = [(report, row) for report in reports if (row := self.rows.get(report.execution_id)) is not None]
        return [
            Finished(report, "running", _moment(row), dict(row.result or {}))
            for report, row in held
            if (row.status, row.result) == (report.status, report.result)
        ]

    def unclaimed(self, ids: Iterable[int]) -> list[ExecutionStatus]:
        """Read why some could not be claimed."""
        self._answer(self._meet("unclaimed"))
        return [
            ExecutionStatus(row.id, row.status, row.worker) for id_ in ids if (row := self.rows.get(id_)) is not None
        ]

    def overdue(self, count: int) -> list[int]:
        """Find what has been scheduled here for ten seconds; only an absence meets it, and it is no call to count."""
        if self.away:
            raise DatabaseUnavailable("the connection failed")
        before = self._clock.now() - timedelta(seconds=10)
        waiting = [row for row in self._mine(("scheduled", "canceling")) if row.started_at is None]
        return [row.id for row in waiting if _moment(row) < before][:count]

    def unclaim(self, ids: Iterable[int]) -> None:
        """Undo claims."""
        trouble = self._meet("unclaim")
        for row in self._mine(("running",)):
            if row.id in set(ids):
                row.status, row.started_at = "scheduled", None
                self._journal.add("unclaimed", row.id)
        self._answer(trouble)

    def abandon_unknown(self, execution_id: int, result: Mapping[str, Any]) -> EndedExecution | None:
        """End one that an earlier life claimed; the same answer where that was done before."""
        trouble = self._meet("abandon_unknown")
        row = self.rows[execution_id]
        if row.status == "running" and row.worker == ME and row.started_at is not None and row.started_at < self.began:
            self._write(row, "abandoned", dict(result))
            self._journal.add("ended", row.id, "abandoned")
        self._answer(trouble)
        if (row.status, row.worker, row.result) != ("abandoned", ME, dict(result)):
            return None
        return EndedExecution(row.id, row.action, ACTION.ref, row.status, row.result, _moment(row))

    def end_earlier_sessions(self) -> None:
        """Nothing to end."""
        self._answer(self._meet("end_earlier_sessions"))

    def cancel_unstarted(self, execution_id: int, result: Mapping[str, Any]) -> EndedExecution | None:
        """End one that is ours and being cancelled; the same answer where that was done before."""
        trouble = self._meet("cancel_unstarted")
        row = self.rows[execution_id]
        if row.status == "canceling" and row.worker == ME:
            self._write(row, "cancelled", dict(result))
            self._journal.add("ended", row.id, "cancelled")
        self._answer(trouble)
        if (row.status, row.worker, row.result) != ("cancelled", ME, dict(result)):
            return None
        return EndedExecution(row.id, row.action, ACTION.ref, row.status, row.result, _moment(row))

    # What a start and an end of the service call.

    def orphaned(self) -> list[OrphanedExecution]:
        """Read what is ours and not ended."""
        self._answer(self._meet("orphaned"))
        return [OrphanedExecution(row.id, row.action, ACTION.ref, row.status) for row in self._mine(RUNS)]

    def recently_ended(self, since: datetime) -> list[EndedExecution]:
        """Read what has ended here after ``since``; what a monitor has ended, the monitor has announced."""
        self._answer(self._meet("recently_ended"))
        return [
            EndedExecution(row.id, row.action, ACTION.ref, row.status, row.result, _moment(row))
            for row in self._mine(ENDED)
            if row.result is not None and "abandoned_by" not in row.result and _moment(row) >= since
        ]

    def hand_back(self) -> list[RequestedExecution]:
        """Give what is scheduled for us to nobody."""
        trouble = self._meet("hand_back")
        rows = self._mine(("scheduled",))
        for row in rows:
            row.status, row.worker = "requested", None
        self._answer(trouble)
        return [RequestedExecution(row.id, row.action, ACTION.ref, None, None, None, _moment(row)) for row in rows]

    def has_scheduled(self) -> bool:
        """Tell whether anything is scheduled for us."""
        self._answer(self._meet("has_scheduled"))
        return bool(self._mine(("scheduled",)))

    def mine(self, ids: Iterable[int]) -> set[int]:
        """Return those that were given to us."""
        self._answer(self._meet("mine"))
        return {row.id for id_ in ids if (row := self.rows.get(id_)) is not None and row.worker == ME}

    def other_live_workers(self) -> int:
        """Return ``others_alive``."""
        self._answer(self._meet("other_live_workers"))
        return self.others_alive

    def close(self) -> None:
        """Note it."""
        self.closed = True

    # How it does it.

    def _meet(self, call: str) -> Trouble | None:
        """Note a call and raise what becomes of it before anything is written."""
        self.calls.append(call)
        self.during()
        trouble = Trouble.AWAY if self.away else self._next_trouble(call)
        if trouble is Trouble.AWAY:
            raise DatabaseUnavailable("the connection failed")
        if trouble is Trouble.CONFLICT:
            raise DatabaseError("a conflict") from psycopg.errors.SerializationFailure()
        if trouble is Trouble.REFUSED:
            raise DatabaseError("refused") from psycopg.errors.NumericValueOutOfRange()
        return trouble

    def _next_trouble(self, call: str) -> Trouble | None:
        if self.troubles_of.get(call):
            return self.troubles_of[call].pop(0)
        return self.troubles.popleft() if self.troubles else None

    def _answer(self, trouble: Trouble | None) -> None:
        if trouble is Trouble.LOST:
            raise DatabaseUnavailable("the connection was lost")

    def _commit(
        self, ids: Iterable[int], reports: Sequence[Report], again: set[int], *, with_files: bool
    ) -> tuple[list[Claim], list[Finished]]:
        written = [r for r in reports if with_files or not self.rows[r.execution_id].allocates]
        if any(report.execution_id in self.unstorable and report.status == "completed" for report in written):
            raise DatabaseError("can't be stored") from psycopg.errors.ProgramLimitExceeded()
        # Both see the rows as they were before: one statement may end an execution and claim it again.
        claims = [claim for id_ in ids if (claim := self._claim(id_, again)) is not None]
        return claims, [done for report in reports if (done := self._finish(report, with_files=with_files)) is not None]

    def _finish(self, report: Report, *, with_files: bool) -> Finished | None:
        row = self.rows.get(report.execution_id)
        if row is None or row.worker != ME or row.status not in RUNS or (row.allocates and not with_files):
            return None
        previous = row.status
        self._write(row, report.status, dict(report.result))
        self._journal.add("ended", row.id, row.status)
        return Finished(report, previous, _moment(row), dict(report.result))

    def _claim(self, execution_id: int, again: set[int]) -> Claim | None:
        row = self.rows.get(execution_id)
        if row is None or row.worker != ME:
            return None
        if row.status != "scheduled" and not (row.status == "running" and execution_id in again):
            return None
        row.claims += 1
        row.started_at = self._clock.now()
        self._write(row, "running", None)
        self._journal.add("claimed", row.id)
        return Claim(Execution(row.id, row.action, ACTION.ref, started_at=row.started_at), row.action, "1", "1", (), ())

    def _write(self, row: Row, status: str, result: Mapping[str, Any] | None) -> None:
        row.status, row.result, row.updated = status, result, self._clock.now()

    def _mine(self, statuses: Sequence[str]) -> list[Row]:
        return [row for _, row in sorted(self.rows.items()) if row.worker == ME and row.status in statuses]


def _moment(row: Row) -> datetime:
    assert row.updated is not None
    return row.updated
