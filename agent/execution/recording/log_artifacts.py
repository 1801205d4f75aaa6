"""Record what executions wrote as versions of artifacts: rows here, files through ``log_files``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from agent.db.named_statements import Statements
from agent.db.pool import Connection
from agent.execution.outcome.log_files import ArtifactFiles
from agent.execution.recording.row_types import LogVersionRow
from agent.execution.report import AllocatedFile, LogFile, Report


class LogArtifacts:
    """Part of the store; its statements belong to the store's transaction."""

    def __init__(self, files: ArtifactFiles, sql: Statements) -> None:
        """Put files where ``files`` says, run the statements of ``sql``."""
        self._files = files
        self._sql = sql
        self._placed: list[tuple[str, str]] = []
        self._unplaced: list[str] = []
        self._measured: Sequence[AllocatedFile] = ()

    def record_logs(self, connection: Connection, reports: Sequence[Report]) -> dict[int, str]:
        """Record every log as a version of its artifact; return the paths of those that a result must name."""
        self._placed, self._unplaced, self._measured = [], [], ()
        logs = {(report.execution_id, log_.stream): (report, log_) for report in reports for log_ in report.logs}
        if not logs:
            return {}
        values = {"logs": json.dumps([_log_row(report, log_) for report, log_ in logs.values()])}
        with connection.pipeline():
            self._sql.run(connection, "lock_log_artifacts", values)
            self._sql.run(connection, "upsert_log_artifacts", values)
            self._sql.run(connection, "lock_artifact_versions", values)
            versions = self._sql.cursor(connection, LogVersionRow, "insert_log_versions", values)
        paths = {}
        for version in versions.fetchall():
            report, log_ = logs[version.execution, version.stream]
            if log_.file_path is not None:
                if version.stream == "stderr" and report.wants_stderr_log:
                    paths[version.execution] = version.file_path
                continue  # the server has it, or gets it
            placed = self._files.place(log_, version.file_path)
            if placed is None:
                self._sql.run(connection, "delete_versions", {"ids": as_array([version.id])})
                self._unplaced.append(log_.path)
                continue
            self._placed.append((log_.path, placed))
            if version.stream == "stderr" and report.wants_stderr_log:
                paths[version.execution] = placed
        return paths

    def committed(self) -> None:
        """Retire the live logs of what was recorded last: its names are certain now. What got none is removed."""
        for live, final in self._placed:
            self._files.retire(live, final)
        for live in self._unplaced:
            self._files.discard(live)
        self._files.recorded(self._measured)
        self._placed, self._unplaced, self._measured = [], [], ()

    def retire(self, version: LogVersionRow) -> None:
        """Retire the live log of a version that was committed."""
        self._files.retire_as(self._files.live_path(version.execution, version.stream), version.file_path)

    def measure(self, connection: Connection, allocated: Sequence[AllocatedFile]) -> None:
        """Write the sizes of files that actions allocated through the API; drop the versions that stayed empty."""
        if not allocated:
            return
        self._measured = allocated
        sizes = self._files.measure(allocated)
        filled = [{"id": key, "size_bytes": size} for key, size in sizes.items() if size]
        allocated = [file for file in allocated if file.id in sizes]
        if filled:
            self._sql.run(connection, "measure_versions", {"sizes": json.dumps(filled)})
        if empty := [file for file in allocated if not sizes[file.id]]:
            self._sql.run(connection, "delete_versions", {"ids": as_array(file.id for file in empty)})
            for file in empty:
                self._files.delete(file.file_path)
        self._sql.run(connection, "measure_latest", {"artifacts": as_array(file.artifact for file in allocated)})


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
        "file_path": log_.file_path,
    }
