"""What the demo runs: one action for each runtime of this machine, and the table of how they went."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any

from rich.live import Live
from rich.table import Table

from agent.cli.agent_process import AgentProcess
from agent.cli.tables import console, make_table, short, show, status
from agent.control.executions import ExecutionSummary, cancel, find
from agent.control.fleet import Worker
from agent.control.submission import Send, actions, find_action, submit
from agent.db.pool import Database
from agent.errors import AgentError, DatabaseError
from agent.runtimes.names import normalize_runtime_name

_RUN_SECONDS = 240.0


@dataclass
class Job:
    """One line of the table: a runtime of this machine and the action that tries it out."""

    runtime: str
    version: str | None
    path: str | None
    action: str
    execution: ExecutionSummary | None = None

    def as_document(self) -> dict[str, Any]:
        """Return it as JSON is printed."""
        run = self.execution
        return {
            "runtime": self.runtime,
            "version": self.version,
            "path": self.path,
            "action": self.action,
            "status": run.status if run else None,
            "seconds": run.seconds if run else None,
            "output": output_of(run) if run else None,
        }


def find_jobs(database: Database, worker: Worker) -> list[Job]:
    """One action of the examples pack for each runtime that the agent advertises, in its order."""
    by_runtime: dict[str, str] = {}
    for ref in actions(database, "examples"):
        for name in find_action(database, ref).demand.runtime_names:
            by_runtime.setdefault(normalize_runtime_name(name), ref)
    details = {
        entry["name"]: entry for entry in worker.offers.get("detected_interpreters") or () if isinstance(entry, dict)
    }
    jobs = []
    for name in worker.offers.get("runtimes") or ():
        entry = details.get(name, {})
        if name in by_runtime:
            jobs.append(Job(name, entry.get("version"), entry.get("path"), by_runtime[name]))
    return jobs


def run_jobs(database: Database, send: Send, agent: AgentProcess, jobs: list[Job], *, quiet: bool) -> None:
    """Submit all, then show the table until every one has ended."""
    for job in jobs:
        submitted = submit(database, send, find_action(database, job.action), {})
        job.execution = find(database, submitted.id)
    screen = console()
    live = Live(_table(jobs), console=screen, auto_refresh=False) if screen.is_terminal and not quiet else None
    with live or contextlib.nullcontext():
        _watch(database, agent, jobs, live)
    for job in jobs:
        if job.execution is not None and not job.execution.ended:
            with contextlib.suppress(AgentError):
                cancel(database, send, job.execution.id)
    if live is None and not quiet:
        show(_table(jobs))


def _watch(database: Database, agent: AgentProcess, jobs: list[Job], live: Live | None) -> None:
    deadline = time.monotonic() + _RUN_SECONDS
    waiting = jobs
    while waiting and time.monotonic() < deadline:
        agent.check()
        for job in waiting:
            with contextlib.suppress(DatabaseError):
                job.execution = find(database, job.execution.id) if job.execution else None
        waiting = [job for job in jobs if job.execution is not None and not job.execution.ended]
        if live is not None:
            live.update(_table(jobs), refresh=True)
        time.sleep(0.1)


def _table(jobs: list[Job]) -> Table:
    return make_table(
        ["RUNTIME", "VERSION", "PATH", "ACTION", "STATUS", "TIME", "OUTPUT"],
        (
            [
                job.runtime,
                job.version,
                job.path,
                job.action,
                status(job.execution.status) if job.execution else None,
                short(job.execution.seconds) if job.execution else None,
                output_of(job.execution) if job.execution else None,
            ]
            for job in jobs
        ),
    )


def output_of(execution: ExecutionSummary) -> str:
    """Return in one line what the action said: who greets, else its first line, else its error."""
    result = execution.result if isinstance(execution.result, dict) else {}
    data = result.get("data")
    if isinstance(data, dict):
        data = " ".join(
            [str(data.get("greeting", "")), "from", str(data.get("language")), str(data.get("version", ""))]
        )
    lines = str(execution.error or data or result.get("stdout") or "").strip().splitlines()
    return lines[0] if lines else ""
