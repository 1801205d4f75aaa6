"""Execution rows as the coordinator sees them: claim many, finish many, in one transaction on one connection."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from agent.db.error_translation import OUTDATED, is_away, translated
from agent.db.named_statements import Row, Statements
from agent.db.pool import Connection, Database
from agent.errors import DatabaseError
from agent.execution.model import Action, Claim
from agent.execution.outcome.log_files import ArtifactFiles
from agent.execution.recording.jsonb_loading import tolerate_unreadable
from agent.execution.recording.jsonb_values import to_jsonb
from agent.execution.recording.log_artifacts import LogArtifacts, as_array
from agent.execution.recording.row_types import (
    EndedExecution,
    ExecutionStatus,
    LogVersionRow,
    OrphanedExecution,
    RecordedEnd,
    RequestedExecution,
)
from agent.execution.recording.statements import RecordingStatements
from agent.execution.report import Finished, Report
from agent.presence.worker_locks import Session, WorkerLocks

#: Seconds that a session gets to end after it was told to, and between two looks.
_SESSION_END_SECONDS, _SESSION_PAUSE = 5.0, 0.02
#: Larger results than this are rare enough for a new connection after each of them.
_LARGE_BYTES = 2 * 1024 * 1024


class _Id(NamedTuple):
    id: int


class _Look(NamedTuple):
    """A session of the server, and when it was looked at."""

    pid: int
    backend_start: datetime
    at: datetime


class _Found(NamedTuple):
    found: bool


class _Count(NamedTuple):
    number: int


class ExecutionStore:
    """Used by one thread; reconnects when its connection was lost."""

    def __init__(
        self, database: Database, *, worker_id: int, files: ArtifactFiles, statement_timeout: float = 60.0
    ) -> None:
        """Prepare; the connection is made at the first use. A statement that takes longer (seconds) is tried again."""
        self._database = database
        self._worker_id = worker_id
        self._statement_timeout = statement_timeout
        self._sql = Statements("agent.execution.recording")
        self._locks = WorkerLocks()
        self._log_artifacts = LogArtifacts(files, self._sql)
        self._connection: Connection | None = None
        self._statements: RecordingStatements
        self._session: Session | None = None
        self._began: datetime | None = None

    def record(
        self, ids: Sequence[int], reports: Sequence[Report], *, again: Iterable[int] = ()
    ) -> tuple[list[Claim], list[Finished]]:
        """Claim executions and finish others in one transaction; where only some need files, those in a second one.

        ``again`` are ids whose claim may have been committed although its answer was lost: those of them that are
        ours and running are claimed, too.

        Raises:
            DatabaseUnavailable: nothing was written, or it can't be known; trying again is safe.
            DatabaseError: the server refused it; nothing, or only the first of two transactions, was written.
        """
        with translated(self._database.address.label):
            connection = self._connected()
            try:
                claims: list[Claim] = []
                finished: list[Finished] = []
                if not any(report.logs or report.secrets for report in reports):
                    done = self._statements.run(ids, reports, again=again, paths={}, with_files=False)
                    claims, finished = done.claims, done.finished
                    written = {end.report.execution_id for end in finished}
                    ids, again = (), ()
                    reports = [report for report in reports if report.execution_id not in written]
                    if not reports:
                        self._shrink()
                        return claims, finished
                # Files, their sizes and the end of their execution belong together: who sees one sees all.
                with connection.transaction():
                    paths = self._log_artifacts.record_logs(connection, reports)
                    self._store_secrets(connection, reports)
                    done = self._statements.run(ids, reports, again=again, paths=paths, with_files=True)
                    self._log_artifacts.measure(connection, done.allocated)
                self._log_artifacts.committed()
                self._shrink()
                return [*claims, *done.claims], [*finished, *done.finished]
            except psycopg.Error as error:
                self._drop_useless(error)
                raise

    def _shrink(self) -> None:
        """Close a connection that a large result has made large: libpq keeps the room, a new one takes milliseconds."""
        if self._statements.largest > _LARGE_BYTES:
            self.close()
            self._connection = None

    def _store_secrets(self, connection: Connection, reports: Sequence[Report]) -> None:
        for report in reports:
            for secret in report.secrets:
                self._sql.run(
                    connection,
                    "store_result_secret",
                    {
                        "execution": report.execution_id,
                        "json_path": secret.json_path,
                        "source_ref": secret.source_ref,
                        "value": json.dumps(secret.value),
                        "hash": secret.key_hash,
                    },
                )

    def load_actions(self, ids: Iterable[int]) -> dict[int, Action]:
        """Read the definitions of actions. Raises DatabaseError."""
        return {action.id: action for action in self._query(Action, "load_actions", ids=as_array(ids))}

    def already_finished(self, reports: Sequence[Report]) -> list[Finished]:
        """Return those of ``reports`` that the database holds as they are. Raises DatabaseError."""
        ids = as_array(report.execution_id for report in reports)
        ends = {end.id: end for end in self._query(RecordedEnd, "recorded_ends", ids=ids)}
        done = [
            Finished(report, "running", end.updated, end.result)
            for report in reports
            if (end := ends.get(report.execution_id)) is not None
            and end.status == report.status
            and _same_result(end.result, report)
        ]
        self._retire_logs({end.report.execution_id for end in done if end.report.logs})
        return done

    def _retire_logs(self, ids: Set[int]) -> None:
        """Do for the logs of ended executions what the answer that was lost, or a crash, has kept from happening."""
        if ids:
            for version in self._query(LogVersionRow, "log_paths", ids=as_array(ids)):
                self._log_artifacts.retire(version)

    def unclaimed(self, ids: Iterable[int]) -> list[ExecutionStatus]:
        """Read where executions stand that could not be claimed. Raises DatabaseError."""
        return self._query(ExecutionStatus, "unclaimed", ids=as_array(ids))

    def overdue(self, count: int) -> list[int]:
        """Return up to ``count`` executions that have been scheduled for this worker for long. Raises DatabaseError."""
        return [row.id for row in self._query(_Id, "overdue", worker=self._worker_id, count=count)]

    def unclaim(self, ids: Iterable[int]) -> None:
        """Undo claims that were committed without anybody here having heard of it. Raises DatabaseError."""
        self._query(_Id, "unclaim", worker=self._worker_id, ids=as_array(ids))

    def abandon_unknown(self, execution_id: int, result: Mapping[str, Any]) -> EndedExecution | None:
        """End a running execution of ours that an earlier life claimed and nobody here has in hand.

        Returns what ``cancel_unstarted`` does. Raises DatabaseError.
        """
        values = {"id": execution_id, "worker": self._worker_id, "result": json.dumps(result), "began": self._began}
        for name in ("abandon_unknown", "abandoned_unknown"):
            for row in self._query(EndedExecution, name, **values):
                return row
        return None

    def end_earlier_sessions(self) -> None:
        """End the sessions of earlier lives, whose last statements may still be about to be committed.

        Only for the holder of the worker's lock, before anything else of this process uses a store.

        Raises:
            DatabaseError: one did not end.
        """
        self._end_sessions(None)

    def cancel_unstarted(self, execution_id: int, result: Mapping[str, Any]) -> EndedExecution | None:
        """Turn a ``canceling`` row of ours that never ran into ``cancelled``.

        Returns the row, also where it says just that already; None when it says something else. Raises DatabaseError.
        """
        values = {"id": execution_id, "worker": self._worker_id, "result": json.dumps(result)}
        for name in ("cancel_unstarted", "cancelled_unstarted"):
            for row in self._query(EndedExecution, name, **values):
                return row
        return None

    def mine(self, ids: Iterable[int]) -> set[int]:
        """Return those of ``ids`` that were given to this worker. Raises DatabaseError."""
        return {row.id for row in self._query(_Id, "mine", worker=self._worker_id, ids=as_array(ids))}

    def orphaned(self) -> list[OrphanedExecution]:
        """Read what the previous process of this worker left running. Raises DatabaseError."""
        return self._query(OrphanedExecution, "orphaned", worker=self._worker_id)

    def recently_ended(self, since: datetime) -> list[EndedExecution]:
        """Read what ended here after ``since``; retire the live logs that a crash has left. Raises DatabaseError."""
        ended = self._query(EndedExecution, "recently_ended", worker=self._worker_id, since=since)
        self._retire_logs({row.id for row in ended})
        return ended

    def hand_back(self) -> list[RequestedExecution]:
        """Return everything scheduled for this worker to the executor. Raises DatabaseError.

        Promise: unstarted work is handed back.
        """
        return self._query(RequestedExecution, "hand_back", worker=self._worker_id)

    def has_scheduled(self) -> bool:
        """Return whether anything is scheduled for this worker. Raises DatabaseError."""
        return any(row.found for row in self._query(_Found, "has_scheduled", worker=self._worker_id))

    def other_live_workers(self) -> int:
        """Count the workers that could step in. Raises DatabaseError."""
        return sum(row.number for row in self._query(_Count, "other_live_workers", worker=self._worker_id))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _query(self, kind: type[Row], name: str, **values: object) -> list[Row]:
        with translated(self._database.address.label):
            try:
                return self._sql.all(self._connected(), kind, name, values)
            except psycopg.Error as error:
                self._drop_useless(error)
                raise

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = self._database.connect(autocommit=True, statement_timeout=self._statement_timeout)
            try:
                self._enter(connection)
            except (psycopg.Error, DatabaseError):
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _enter(self, connection: Connection) -> None:
        tolerate_unreadable(connection)
        lost = self._session
        self._locks.mark_session(connection, self._worker_id)
        look = self._sql.one(connection, _Look, "session")
        assert look is not None
        if lost is not None:
            # What was sent on the connection that broke is decided before anything is sent on this one.
            self._end_sessions(lost, connection)
        self._session = Session(look.pid, look.backend_start)
        self._began = self._began or look.at
        self._statements = RecordingStatements(connection, self._worker_id)

    def _end_sessions(self, lost: Session | None, connection: Connection | None = None) -> None:
        """End one session of this worker, or all others, and wait for their end."""
        deadline = time.monotonic() + _SESSION_END_SECONDS
        with translated(self._database.address.label):
            while left := self._locks.end_sessions(connection or self._connected(), self._worker_id, lost):
                if time.monotonic() >= deadline:
                    raise DatabaseError(f"{left} sessions of an earlier life do not end")
                time.sleep(_SESSION_PAUSE)

    def _drop_useless(self, error: psycopg.Error) -> None:
        useless = is_away(error) or error.sqlstate in OUTDATED  # also one to a server that has become a standby
        if self._connection is not None and (self._connection.broken or useless):
            self._connection.close()
            self._connection = None


def _same_result(stored: Any, report: Report) -> bool:
    """Compare all but the path of the log, which only the database's answer told."""
    expected = to_jsonb(dict(report.result))[0]
    return isinstance(stored, dict) and {k: v for k, v in stored.items() if k != "stderr_log"} == {
        k: v for k, v in expected.items() if k != "stderr_log"
    }
