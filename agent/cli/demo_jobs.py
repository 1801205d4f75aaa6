"""What the demo runs: one action for each runtime of this machine, and the table of how they went."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table

from agent.cli.child_process import ChildProcess
from agent.cli.tables import console, make_table, short, show, status
from agent.control.executions import ExecutionSummary, cancel, find
from agent.control.fleet import Worker
from agent.control.submission import Send, actions, find_action, submit
from agent.db.pool import Database
from agent.environments.inventory import inventory
from agent.errors import AgentError, DatabaseError
from agent.runtimes.names import normalize_runtime_name

_RUN_SECONDS = 240.0


@dataclass
class Job:
    """One line of the table: a runtime of this machine and the action that tries it out.

    ``others`` are the further versions of this machine, ``environment`` is the isolated one that was built.
    """

    runtime: str
    version: str | None
    path: str | None
    action: str
    execution: ExecutionSummary | None = None
    others: tuple[str, ...] = ()
    environment: str | None = None

    def as_document(self) -> dict[str, Any]:
        """Return it as JSON is printed."""
        run = self.execution
        return {
            "runtime": self.runtime,
            "version": self.version,
            "other_versions": list(self.others),
            "environment": self.environment,
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
    details: dict[str, list[dict[str, Any]]] = {}
    for entry in worker.offers.get("detected_interpreters") or ():
        if isinstance(entry, dict):
            details.setdefault(str(entry.get("name")), []).append(entry)
    jobs = []
    for name in worker.offers.get("runtimes") or ():
        first, *others = details.get(name) or [{}]
        if name in by_runtime:
            versions = tuple(str(entry["version"]) for entry in others if entry.get("version"))
            jobs.append(Job(name, first.get("version"), first.get("path"), by_runtime[name], others=versions))
    return jobs


def run_jobs(
    database: Database, send: Send, agent: ChildProcess, jobs: list[Job], *, runtime_envs_dir: Path, quiet: bool
) -> None:
    """Submit all, then show the table until every one has ended; environments are built below ``runtime_envs_dir``."""
    for job in jobs:
        submitted = submit(database, send, find_action(database, job.action), {})
        job.execution = find(database, submitted.id)
    screen = console()
    live = Live(_table(jobs), console=screen, auto_refresh=False) if screen.is_terminal and not quiet else None
    with live or contextlib.nullcontext():
        _watch(database, agent, jobs, live)
        _note_environments(jobs, runtime_envs_dir)
        if live is not None:
            live.update(_table(jobs), refresh=True)
    for job in jobs:
        if job.execution is not None and not job.execution.ended:
            with contextlib.suppress(AgentError):
                cancel(database, send, job.execution.id)
    if live is None and not quiet:
        show(_table(jobs))


def _watch(database: Database, agent: ChildProcess, jobs: list[Job], live: Live | None) -> None:
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


def _note_environments(jobs: list[Job], runtime_envs_dir: Path) -> None:
    built = {(item.pack, item.name.partition("-")[0]): item for item in inventory(runtime_envs_dir) if item.current}
    for job in jobs:
        found = built.get((job.action.partition(".")[0], job.runtime))
        if found is not None:
            job.environment = f"{found.pack}/{found.name} ({found.size / 1_000_000:.1f} MB)"


def _table(jobs: list[Job]) -> Table:
    return make_table(
        ["RUNTIME", "VERSION", "OTHERS", "PATH", "ENVIRONMENT", "ACTION", "STATUS", "TIME", "OUTPUT"],
        (
            [
                job.runtime,
                job.version,
                ", ".join(job.others),
                job.path,
                job.environment,
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
