"""Record what executions wrote as versions of artifacts: rows here, files through ``log_files``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import psycopg

from agent.db.pool import Connection
from agent.execution.outcome.log_files import ArtifactFiles
from agent.execution.report import LogFile, Report

Row = tuple[Any, ...]


class Runner(Protocol):
    """Runs one named statement."""

    def __call__(self, connection: Connection, name: str, values: Mapping[str, Any], /) -> psycopg.Cursor[Row]:
        """Return the cursor of statement ``name`` with ``values``."""


class LogArtifacts:
    """Part of the store; its statements belong to the store's transaction."""

    def __init__(self, files: ArtifactFiles, run: Runner) -> None:
        """Put files where ``files`` says, run statements with ``run``."""
        self._files = files
        self._run = run
        self._placed: list[tuple[str, str]] = []

    def record_logs(self, connection: Connection, reports: Sequence[Report]) -> dict[int, str]:
        """Record every log as a version of its artifact; return the paths of those that a result must name."""
        self._placed = []
        logs = {(report.execution_id, log_.stream): (report, log_) for report in reports for log_ in report.logs}
        if not logs:
            return {}
        values = {"logs": json.dumps([_log_row(report, log_) for report, log_ in logs.values()])}
        with connection.pipeline():
            self._run(connection, "lock_log_artifacts", values)
            self._run(connection, "upsert_log_artifacts", values)
            self._run(connection, "lock_artifact_versions", values)
            versions = self._run(connection, "insert_log_versions", values)
        paths = {}
        for version_id, execution_id, stream, file_path in versions.fetchall():
            report, log_ = logs[execution_id, stream]
            placed = self._files.place(log_, file_path)
            if placed is None:
                self._run(connection, "delete_versions", {"ids": as_array([version_id])})
                continue
            self._placed.append((log_.path, placed))
            if stream == "stderr" and report.wants_stderr_log:
                paths[execution_id] = placed
        return paths

    def committed(self) -> None:
        """Retire the live logs of what was recorded last: its names are certain now."""
        for live, final in self._placed:
            self._files.retire(live, final)
        self._placed = []

    def measure(self, connection: Connection, allocated: Sequence[Row]) -> None:
        """Write the sizes of files that actions allocated through the API; drop the versions that stayed empty."""
        if not allocated:
            return
        sizes = self._files.measure({row[0]: row[2] for row in allocated})
        filled = [{"id": key, "size_bytes": size} for key, size in sizes.items() if size]
        if filled:
            self._run(connection, "measure_versions", {"sizes": json.dumps(filled)})
        if empty := [row for row in allocated if not sizes[row[0]]]:
            self._run(connection, "delete_versions", {"ids": as_array(row[0] for row in empty)})
            for row in empty:
                self._files.delete(row[2])
        self._run(connection, "measure_latest", {"artifacts": as_array(row[1] for row in allocated)})


def as_array(items: Iterable[int | str]) -> str:
    """Return ids, or plain words, as the text of an array: one parameter, whatever their number."""
    return "{" + ",".join(map(str, items)) + "}"


def _log_row(report: Report, log_: LogFile) -> dict[str, Any]:
    return {
        "execution": report.execution_id,
        "stream": log_.stream,
        "ref": log_.ref,
        "owner": report.action_ref,
        "name": f"{report.action_ref} {log_.stream}",
        "description": f"What executions of {report.action_ref} wrote to {log_.stream}",
        "policy": log_.policy,
        "amount": log_.limit,
        "size_bytes": log_.size_bytes,
    }
