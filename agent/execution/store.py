"""The execution tables as the ledger sees them: claim many, finish many, in one transaction on one connection."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from agent.db.failures import translated
from agent.db.pool import Connection, Database
from agent.db.prepared import PreparedStatement
from agent.db.queries import load_queries
from agent.execution.filing import ArtifactFiling, Row, as_array
from agent.execution.logfiles import ArtifactFiles
from agent.execution.model import Action, Execution
from agent.execution.report import Report
from agent.execution.secrets import CutOut, StoredKey
from agent.execution.storable import to_jsonb
from agent.execution.storedjson import Unreadable, tolerate_unreadable

log = logging.getLogger(__name__)


# Left to itself the server plans the same statement anew each time, which takes as long as running it; and a plan that
# was made while the tables were empty would read all of them. What is looked up is always a handful of rows by key.
_PLANNING = """
SELECT set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false)
"""

#: A migration has changed a column's type, or somebody has discarded what was prepared: only a new session helps.
_OUTDATED = ("0A000", "26000")


@dataclass(frozen=True, slots=True)
class Claim:
    """An execution that is ours now, with what must be read fresh for each one.

    ``stamp`` changes whenever the action's definition does, ``runtime_stamp`` whenever its runtime's or one of its
    versions' does. ``keys`` are the stored secrets of its scopes, ``cut_out`` those taken out of its own parameters.
    ``problem`` says why it can't be run at all.
    """

    execution: Execution
    action_id: int | None
    stamp: str
    runtime_stamp: str
    keys: tuple[StoredKey, ...]
    cut_out: tuple[CutOut, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A report that was written: the row's status before, when it was written, and the result as stored."""

    report: Report
    previous_status: str
    updated: datetime
    result: Mapping[str, Any]


class ExecutionStore:
    """Used by one thread; reconnects when its connection was lost."""

    def __init__(
        self, database: Database, *, worker_id: int, files: ArtifactFiles, statement_timeout: float = 60.0
    ) -> None:
        """Prepare; the connection is made at the first use. A statement that takes longer (seconds) is tried again."""
        self._database = database
        self._worker_id = worker_id
        self._statement_timeout = statement_timeout
        self._filing = ArtifactFiling(files, self._run)
        self._sql = load_queries("agent.execution")
        self._connection: Connection | None = None

    def exchange(
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
                    claims, finished = self._exchange(connection, (ids, again), reports, {}, with_files=False)
                    written = {done.report.execution_id for done in finished}
                    ids, again = (), ()
                    reports = [report for report in reports if report.execution_id not in written]
                    if not reports:
                        return claims, finished
                # Files, their sizes and the end of their execution belong together: who sees one sees all.
                with connection.transaction():
                    paths = self._filing.file_logs(connection, reports)
                    self._store_secrets(connection, reports)
                    more = self._exchange(connection, (ids, again), reports, paths, with_files=True)
                self._filing.committed()
                return [*claims, *more[0]], [*finished, *more[1]]
            except psycopg.Error as error:
                self._drop_useless(error)
                raise

    def _exchange(
        self,
        connection: Connection,
        wanted: tuple[Sequence[int], Iterable[int]],
        reports: Sequence[Report],
        paths: Mapping[int, str],
        *,
        with_files: bool,
    ) -> tuple[list[Claim], list[Finished]]:
        results: dict[int, Mapping[str, Any]] = {}
        rows = self._statement.run([*_ends(reports, paths, results, with_files=with_files), *self._wanted(*wanted)])
        ended = [row for row in rows if row[0] == "f"]
        if allocated := [file for row in ended for file in row[4] or ()]:
            self._filing.measure(connection, allocated)
        return [_claim(row[1:]) for row in rows if row[0] == "c"], _finished(ended, reports, results)

    def _wanted(self, ids: Iterable[int], again: Iterable[int]) -> tuple[str, str, str]:
        return as_array(ids), as_array(again), str(self._worker_id)

    def _store_secrets(self, connection: Connection, reports: Sequence[Report]) -> None:
        for report in reports:
            for secret in report.secrets:
                self._run(
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
        rows = self._query("load_actions", {"ids": as_array(ids)})
        return {row[0]: Action(*row) for row in rows}

    def already_finished(self, reports: Sequence[Report]) -> list[Finished]:
        """Return those of ``reports`` that the database holds as they are. Raises DatabaseError."""
        rows = {row[0]: row for row in self._query("verdicts", {"ids": as_array(r.execution_id for r in reports)})}
        done = []
        for report in reports:
            row = rows.get(report.execution_id)
            if row is not None and row[1] == report.status and _same_result(row[2], report):
                done.append(Finished(report, "running", row[3], row[2]))
        return done

    def unclaimed(self, ids: Iterable[int]) -> list[Row]:
        """Read id, status and worker of executions that could not be claimed. Raises DatabaseError."""
        return self._query("unclaimed", {"ids": as_array(ids)})

    def cancel_unstarted(self, execution_id: int, result: Mapping[str, Any]) -> Row | None:
        """Turn a ``canceling`` row of ours that never ran into ``cancelled``.

        Returns id, action, action's ref, result and time of the row, also where it says just that already; None when
        it says something else. Raises DatabaseError.
        """
        values = {"id": execution_id, "worker": self._worker_id, "result": json.dumps(result)}
        rows = self._query("cancel_unstarted", values) or self._query("cancelled_unstarted", values)
        return rows[0] if rows else None

    def orphaned(self) -> list[Row]:
        """Read what an earlier life of this worker left running. Raises DatabaseError."""
        return self._query("orphaned", {"worker": self._worker_id})

    def recently_ended(self, since: datetime) -> list[Row]:
        """Read what ended here after ``since``. Raises DatabaseError."""
        return self._query("recently_ended", {"worker": self._worker_id, "since": since})

    def hand_back(self) -> list[Row]:
        """Return everything scheduled for this worker to the executor (E14). Raises DatabaseError."""
        return self._query("hand_back", {"worker": self._worker_id})

    def other_live_workers(self) -> int:
        """Count the workers that could step in. Raises DatabaseError."""
        return int(self._query("other_live_workers", {"worker": self._worker_id})[0][0])

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _query(self, name: str, values: Mapping[str, Any]) -> list[Row]:
        with translated(self._database.address.label):
            try:
                return self._run(self._connected(), name, values).fetchall()
            except psycopg.Error as error:
                self._drop_useless(error)
                raise

    def _run(self, connection: Connection, name: str, values: Mapping[str, Any]) -> psycopg.Cursor[Row]:
        return connection.execute(self._sql[name].encode(), values, binary=True)

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = self._database.connect(autocommit=True, statement_timeout=self._statement_timeout)
            connection.execute(_PLANNING)
            tolerate_unreadable(connection)
            self._statement = PreparedStatement(connection, "exchange", self._sql["exchange"])
            self._connection = connection
        return self._connection

    def _drop_useless(self, error: psycopg.Error) -> None:
        if self._connection is not None and (self._connection.broken or error.sqlstate in _OUTDATED):
            self._connection.close()
            self._connection = None


def _same_result(stored: Any, report: Report) -> bool:
    """Compare all but the path of the log, which only the database's answer told."""
    expected = to_jsonb(dict(report.result))[0]
    return isinstance(stored, dict) and {k: v for k, v in stored.items() if k != "stderr_log"} == {
        k: v for k, v in expected.items() if k != "stderr_log"
    }


def _ends(
    reports: Sequence[Report], paths: Mapping[int, str], results: dict[int, Mapping[str, Any]], *, with_files: bool
) -> tuple[str, str, str, str]:
    """Return reports as parameters, a list for each column; ``results`` receives each result as it will be stored."""
    texts = []
    for report in reports:
        result = dict(report.result)
        if report.execution_id in paths:
            result["stderr_log"] = paths[report.execution_id]
        results[report.execution_id], text = to_jsonb(result)
        texts.append(text)
    return (
        as_array(report.execution_id for report in reports),
        as_array(report.status for report in reports),
        "[" + ",".join(texts) + "]",
        "true" if with_files else "false",
    )


def _claim(row: Row) -> Claim:
    problem = next((f"its row can't be read: {value.reason}" for value in row if isinstance(value, Unreadable)), None)
    keys, cut_out = (row[16], row[17]) if problem is None else ((), ())
    return Claim(
        Execution(*row[:14]),
        row[1],
        row[14] or "",
        row[15],
        tuple(StoredKey(*key) for key in keys or ()),
        tuple(CutOut(*cut) for cut in cut_out or ()),
        problem,
    )


def _finished(
    rows: Iterable[Row], reports: Sequence[Report], results: Mapping[int, Mapping[str, Any]]
) -> list[Finished]:
    by_id = {report.execution_id: report for report in reports}
    return [Finished(by_id[row[1]], row[3], row[11], results[row[1]]) for row in rows]
