"""``attune demo``: the whole job on this machine - database, agent, one action in every language - and nothing left."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.live import Live
from rich.status import Status
from rich.table import Table
from rich.text import Text

from agent.cli.agent_process import AgentProcess
from agent.cli.embedded import embedded_postgres
from agent.cli.tables import console, make_table, print_json, short, show, status
from agent.configuration import load_settings
from agent.control.executions import Execution, cancel, find
from agent.control.fleet import Worker, workers
from agent.control.sending import sender
from agent.control.submission import Send, actions, find_action, submit
from agent.db.migrations import apply_migrations
from agent.db.pool import Database
from agent.errors import AgentError, DatabaseError
from agent.packs.loader import register
from agent.packs.parser import read_pack
from agent.paths import shipped
from agent.runtimes.names import normalize_runtime_name

WORKER = "demo"
_START_SECONDS = 60.0
_RUN_SECONDS = 240.0


@dataclass
class Job:
    """One line of the table: a runtime of this machine and the action that tries it out."""

    runtime: str
    version: str | None
    path: str | None
    action: str
    execution: Execution | None = None

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


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def demo(as_json: bool) -> int:
    """Try everything out on this machine: run one action in every language that it has.

    Starts a PostgreSQL (also the broker) and one agent in a temporary directory, and stops both at the end.
    """
    screen = console(stderr=True)
    begin = time.monotonic()
    with _stoppable(), _temporary_directory() as directory, screen.status("starting PostgreSQL") as spinner:
        jobs = _play(directory, spinner, quiet=as_json)
    if as_json:
        print_json([job.as_document() for job in jobs])
    return _verdict(jobs, time.monotonic() - begin)


def _play(directory: Path, spinner: Status, *, quiet: bool) -> list[Job]:
    """Start everything, run everything; whatever happens, nothing that was started here outlives this call."""
    with contextlib.ExitStack() as stack:
        config = _write_config(directory, stack.enter_context(embedded_postgres(directory / "postgres")))
        settings = load_settings({}, config=config).settings
        database = stack.enter_context(contextlib.closing(Database(settings.database, application_name="attune-demo")))
        spinner.update("creating the schema, registering the packs core and examples")
        _prepare(database)
        spinner.update("starting attune-agent")
        agent = AgentProcess(config, directory / "agent.log")
        stack.enter_context(agent.running())
        send = stack.enter_context(sender(settings, name="attune-demo"))
        jobs = _jobs(database, _wait_for_worker(database, agent))
        spinner.stop()
        try:
            _run_all(database, send, agent, jobs, quiet=quiet)
        finally:
            spinner.update("stopping the agent and PostgreSQL")
            spinner.start()
    return jobs


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """A request to end (Ctrl-C, TERM, HUP) unwinds and cleans up; while it cleans up, a second one changes nothing."""

    def interrupt(number: int, frame: object) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _temporary_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="attune-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _write_config(directory: Path, database_url: str) -> Path:
    """The agent and this command read the same file and nothing else."""
    (directory / "artifacts").mkdir()
    (directory / "runtime_envs").mkdir()
    path = directory / "config.yaml"
    document = {
        "database": {"url": database_url},
        "message_queue": {"url": "database"},
        "worker": {"name": WORKER, "heartbeat_interval": 5, "shutdown_timeout": 10},
        "log": {"format": "pretty"},
        "packs_base_dir": str(shipped("packs")),
        "runtime_envs_dir": str(directory / "runtime_envs"),
        "artifacts_dir": str(directory / "artifacts"),
    }
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")  # JSON is YAML
    return path


def _prepare(database: Database) -> None:
    apply_migrations(database, shipped("migrations"))
    for name in ("core", "examples"):
        directory = shipped("packs") / name
        register(database, read_pack(directory), storage_path=str(directory))


def _wait_for_worker(database: Database, agent: AgentProcess) -> Worker:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        agent.check()
        for found in workers(database):
            if found.name == WORKER and found.status == "active" and found.alive:
                return found
        time.sleep(0.1)
    raise AgentError(
        f"the agent was not ready within {_START_SECONDS:.0f} s; its log ends with:\n" + "\n".join(agent.last_lines())
    )


def _jobs(database: Database, worker: Worker) -> list[Job]:
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


def _run_all(database: Database, send: Send, agent: AgentProcess, jobs: list[Job], *, quiet: bool) -> None:
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


def output_of(execution: Execution) -> str:
    """Return in one line what the action said: who greets, else its first line, else its error."""
    result = execution.result if isinstance(execution.result, dict) else {}
    data = result.get("data")
    if isinstance(data, dict):
        data = " ".join(
            [str(data.get("greeting", "")), "from", str(data.get("language")), str(data.get("version", ""))]
        )
    lines = str(execution.error or data or result.get("stdout") or "").strip().splitlines()
    return lines[0] if lines else ""


def _verdict(jobs: list[Job], seconds: float) -> int:
    done = sum(1 for job in jobs if job.execution is not None and job.execution.status == "completed")
    screen = console(stderr=True)
    if not jobs:
        raise AgentError("no runtime was found on this machine", hint="see: attune-agent --detect-only")
    good = done == len(jobs)
    line = f"{done} of {len(jobs)} actions completed in {short(seconds)}; everything was stopped and removed"
    screen.print(Text(("✓ " if good else "✗ ") + line, style="green" if good else "red"))
    return 0 if good else 1
