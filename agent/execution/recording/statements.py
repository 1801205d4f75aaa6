"""The hot path's statements: finish executions, claim others, or both in one round trip and one commit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.db.pool import Connection
from agent.db.prepared import PreparedStatement
from agent.db.queries import load_queries
from agent.errors import DatabaseError
from agent.execution.model import Claim, CutOut, Execution, StoredKey
from agent.execution.recording.jsonb_loading import Unreadable
from agent.execution.recording.jsonb_values import to_jsonb
from agent.execution.recording.log_artifacts import as_array
from agent.execution.recording.row_types import ClaimedRow, FinishedRow
from agent.execution.report import AllocatedFile, Finished, Report
from agent.reading.json_text import read_json

# Left to itself the server plans the same statement anew each time, which takes as long as running it; and a plan that
# was made while the tables were empty would read all of them. Whatever this session looks up, its triggers included, is
# a handful of rows by key; where an index is missing, the price of a sequential scan must not start a compiler.
_PLANNING = """
SELECT set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),
       set_config('jit', 'off', false)
"""

log = logging.getLogger(__name__)

#: Bytes of a string that jsonb holds at most (JENTRY_OFFLENMASK): to be told so by the server takes minutes.
_LONGEST_STRING = 0x0FFFFFFF

#: What is stored in place of a result that no JSON can hold.
_UNWRITABLE = {"succeeded": False, "cause": "invalid"}

#: Each statement has all seven parameters, those that it doesn't use too.
_PARAMETERS = ("bigint[]", "text[]", "jsonb", "boolean", "bigint[]", "bigint[]", "bigint")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was claimed and finished; ``allocated`` are files of the finished, to be measured."""

    claims: list[Claim]
    finished: list[Finished]
    allocated: list[AllocatedFile]


class RecordingStatements:
    """The statements on one connection, for one worker."""

    def __init__(self, connection: Connection, worker_id: int) -> None:
        """Prepare them. Raises psycopg.Error."""
        connection.execute(_PLANNING)
        sql = load_queries("agent.execution.recording")
        claimed, finished = f"claimed AS ({sql['claimed']})", f"finished AS ({sql['finished']})"
        claim, finish = sql["claimed_rows"], sql["finished_rows"]
        joined = sql["claimed_and_finished_rows"].format(claimed=claim, finished=finish)
        both = f"WITH {finished}, {claimed} {joined}"

        def prepare(name: str, text: str, *columns: str) -> PreparedStatement:
            return PreparedStatement(connection, name, text, _PARAMETERS, columns=columns)

        self._claim = prepare("claim", f"WITH {claimed} {claim}", *ClaimedRow._fields)
        self._finish = prepare("finish", f"WITH {finished} {finish}", *FinishedRow._fields)
        self._both = prepare("claim and finish", both, *ClaimedRow._fields, *FinishedRow._fields)
        self._worker = str(worker_id)
        #: Bytes of the largest document that was sent on this connection: libpq keeps room for it until it is closed.
        self.largest = 0

    def run(
        self,
        ids: Sequence[int],
        reports: Sequence[Report],
        *,
        again: Iterable[int],
        paths: Mapping[int, str],
        with_files: bool,
    ) -> Recorded:
        """Claim ``ids`` and write ``reports``. Raises psycopg.Error.

        ``again`` may be claimed although they are ours and running already. ``paths`` are the logs that results must
        name, by execution. Without ``with_files`` an execution stays as it is that allocated files itself.
        """
        if not ids and not reports:
            return Recorded([], [], [])
        results, document = _stored(reports, paths)
        self.largest = max(self.largest, len(document))
        values: tuple[str | bytes, ...]
        values = (
            as_array(report.execution_id for report in reports),
            as_array(report.status for report in reports),
            document,
            "true" if with_files else "false",
            as_array(ids),
            as_array(again),
            self._worker,
        )
        claimed, finished = self._rows(values, claim=bool(ids), finish=bool(reports))
        by_id = {report.execution_id: report for report in reports}
        return Recorded(
            [_claim(row) for row in claimed],
            [Finished(by_id[row.finished_id], row.previous, row.updated, results[row.finished_id]) for row in finished],
            [AllocatedFile(**file) for row in finished for file in row.allocated or ()],
        )

    def _rows(
        self, values: Sequence[str | bytes], *, claim: bool, finish: bool
    ) -> tuple[list[ClaimedRow], list[FinishedRow]]:
        if not finish:
            return [ClaimedRow(*row) for row in self._claim.run(values)], []
        if not claim:
            return [], [FinishedRow(*row) for row in self._finish.run(values)]
        rows, border = self._both.run(values), len(ClaimedRow._fields)
        return (
            [ClaimedRow(*row[:border]) for row in rows if row[0] is not None],
            [FinishedRow(*row[border:]) for row in rows if row[0] is None],
        )


def _stored(reports: Sequence[Report], paths: Mapping[int, str]) -> tuple[dict[int, Mapping[str, Any]], bytes]:
    """Return the results as they will be stored, by execution, and a JSON list of them in the order of ``reports``."""
    results: dict[int, Mapping[str, Any]] = {}
    pieces = [b"["]
    for report in reports:
        result = dict(report.result)
        if report.execution_id in paths:
            result["stderr_log"] = paths[report.execution_id]
        try:
            results[report.execution_id], text = to_jsonb(result)
        except (
            ValueError,
            TypeError,
            RecursionError,
        ) as error:  # one result must not keep the others from the database
            log.error("the result of execution %d can't be written as JSON: %s", report.execution_id, error)
            results[report.execution_id], text = to_jsonb(
                {**_UNWRITABLE, "error": f"its result can't be stored: {error}"}
            )
        _refuse_too_long(report.execution_id, results[report.execution_id], len(text))
        pieces += [text, b","]
    pieces[-1] = b"]" if reports else b"[]"
    return results, b"".join(pieces)


def _refuse_too_long(execution_id: int, result: Mapping[str, Any], size: int) -> None:
    """Raise the DatabaseError that the server would raise for a result with JSON of ``size`` bytes."""
    if size <= _LONGEST_STRING:
        return
    longest = max((len(item.encode()) for item in result.values() if isinstance(item, str)), default=0)
    if longest > _LONGEST_STRING:
        raise DatabaseError(
            f"execution {execution_id}: a text of {longest} bytes, of which PostgreSQL stores {_LONGEST_STRING} at most"
        )


def _key(row: Mapping[str, Any]) -> StoredKey:
    """Decode one key's value, which comes as text, so that one that can't be read is nobody else's problem."""
    key = StoredKey(**row)
    if key.value is None:
        return key
    try:
        return replace(key, value=read_json(key.value))
    except ValueError as error:
        return replace(key, value=None, problem=str(error))


def _claim(row: ClaimedRow) -> Claim:
    problem = next((f"its row can't be read: {value.reason}" for value in row if isinstance(value, Unreadable)), None)
    keys, cut_out = (row.keys, row.cut_out) if problem is None else ((), ())
    return Claim(
        execution=Execution(
            id=row.execution_id,
            action=row.action,
            action_ref=row.action_ref,
            config=row.config,
            env_vars=row.env_vars,
            parent=row.parent,
            enforcement=row.enforcement,
            executor=row.executor,
            permission_set_refs=row.permission_set_refs,
            workflow_task=row.workflow_task,
            started_at=row.started_at,
            rule_ref=row.rule_ref,
            trigger_ref=row.trigger_ref,
            parent_action_ref=row.parent_action_ref,
        ),
        action_id=row.action,
        stamp=row.stamp or "",
        runtime_stamp=row.runtime_stamp,
        keys=tuple(_key(key) for key in keys or ()),
        cut_out=tuple(CutOut(**cut) for cut in cut_out or ()),
        problem=problem,
    )
