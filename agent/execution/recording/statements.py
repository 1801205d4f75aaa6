"""The hot path's statements: finish executions, claim others, or both in one round trip and one commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.db.pool import Connection
from agent.db.prepared import PreparedStatement
from agent.db.queries import load_queries
from agent.execution.model import Claim, CutOut, Execution, StoredKey
from agent.execution.recording.jsonb_loading import Unreadable
from agent.execution.recording.jsonb_values import to_jsonb
from agent.execution.recording.log_artifacts import Row, as_array
from agent.execution.report import Finished, Report

# Left to itself the server plans the same statement anew each time, which takes as long as running it; and a plan that
# was made while the tables were empty would read all of them. Whatever this session looks up, its triggers included, is
# a handful of rows by key; where an index is missing, the price of a sequential scan must not start a compiler.
_PLANNING = """
SELECT set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),
       set_config('jit', 'off', false)
"""

#: Each statement has all seven parameters, those that it doesn't use too.
_PARAMETERS = ("bigint[]", "text[]", "jsonb", "boolean", "bigint[]", "bigint[]", "bigint")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was claimed and finished; ``allocated`` are files (id, artifact, path) of the finished, to be measured."""

    claims: list[Claim]
    finished: list[Finished]
    allocated: list[Row]


class RecordingStatements:
    """The statements on one connection, for one worker."""

    def __init__(self, connection: Connection, worker_id: int) -> None:
        """Prepare them. Raises psycopg.Error."""
        connection.execute(_PLANNING)
        sql = load_queries("agent.execution.recording")
        claimed, finished = f"claimed AS ({sql['claimed']})", f"finished AS ({sql['finished']})"
        texts = {
            "claim": f"WITH {claimed} {sql['claimed_rows']}",
            "finish": f"WITH {finished} {sql['finished_rows']}",
            "claim and finish": f"WITH {finished}, {claimed} {sql['claimed_rows']} UNION ALL {sql['finished_rows']}",
        }
        self._statements = {
            name: PreparedStatement(connection, name, text, _PARAMETERS) for name, text in texts.items()
        }
        self._worker = str(worker_id)

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
        recorded = Recorded([], [], [])
        if not ids and not reports:
            return recorded
        results, texts = _stored(reports, paths)
        values = (
            as_array(report.execution_id for report in reports),
            as_array(report.status for report in reports),
            "[" + ",".join(texts) + "]",
            "true" if with_files else "false",
            as_array(ids),
            as_array(again),
            self._worker,
        )
        statement = self._statements["claim and finish" if ids and reports else "claim" if ids else "finish"]
        by_id = {report.execution_id: report for report in reports}
        for kind, *row in statement.run(values):
            if kind == "claimed":
                recorded.claims.append(_claim(row))
            else:
                recorded.finished.append(Finished(by_id[row[0]], row[2], row[10], results[row[0]]))
                recorded.allocated.extend(row[3] or ())
        return recorded


def _stored(reports: Sequence[Report], paths: Mapping[int, str]) -> tuple[dict[int, Mapping[str, Any]], list[str]]:
    """Return the results as they will be stored, by execution, and their JSON in the order of ``reports``."""
    results: dict[int, Mapping[str, Any]] = {}
    texts = []
    for report in reports:
        result = dict(report.result)
        if report.execution_id in paths:
            result["stderr_log"] = paths[report.execution_id]
        results[report.execution_id], text = to_jsonb(result)
        texts.append(text)
    return results, texts


def _claim(row: Sequence[Any]) -> Claim:
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
