"""``attune demo``: the whole job on this machine - database, agent, one action in every language - and nothing left."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
from rich.status import Status
from rich.text import Text

from agent.cli.child_process import ChildProcess
from agent.cli.demo_jobs import Job, find_jobs, run_jobs
from agent.cli.embedded import embedded_postgres
from agent.cli.interruption import refuse_signals, stoppable
from agent.cli.tables import console, print_json, short
from agent.configuration import load_settings
from agent.control.fleet import Worker, workers
from agent.control.sending import sender
from agent.db.migrations import apply_migrations
from agent.db.pool import Database
from agent.errors import AgentError
from agent.logs import configure_logging
from agent.packs.loader import register
from agent.packs.parser import read_pack
from agent.paths import shipped

WORKER = "demo"
_START_SECONDS = 60.0
_REMOVE_SECONDS = 10.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def demo(as_json: bool) -> int:
    """Try everything out on this machine: run one action in every language that it has.

    Starts a PostgreSQL (also the broker) and one agent in a temporary directory, and stops both at the end.
    """
    screen = console(stderr=True)
    configure_logging("error", "pretty", colour=screen.is_terminal)
    begin = time.monotonic()
    with stoppable(), _temporary_directory() as directory, screen.status("starting PostgreSQL") as spinner:
        jobs = _play(directory, spinner, quiet=as_json)
    if as_json:
        print_json([job.as_document() for job in jobs])
    return _exit_code_of(jobs, time.monotonic() - begin)


def _play(directory: Path, spinner: Status, *, quiet: bool) -> list[Job]:
    """Start everything, run everything; whatever happens, nothing that was started here outlives this call."""
    with contextlib.ExitStack() as stack:
        config = _write_config(directory, stack.enter_context(embedded_postgres(directory / "postgres")))
        settings = load_settings({}, config=config).settings
        database = stack.enter_context(contextlib.closing(Database(settings.database, application_name="attune-demo")))
        spinner.update("creating the schema, registering the packs core and examples")
        _prepare(database)
        spinner.update("starting attune-agent")
        agent = ChildProcess.agent(config, directory / "agent.log")
        stack.enter_context(agent.running())
        send = stack.enter_context(sender(settings, name="attune-demo"))
        jobs = find_jobs(database, _wait_for_worker(database, agent))
        spinner.stop()
        try:
            run_jobs(database, send, agent, jobs, runtime_envs_dir=settings.runtime_envs_dir, quiet=quiet)
        finally:
            refuse_signals()  # from here on all is stopped anyway, and nothing may interrupt that
            spinner.update("stopping the agent and PostgreSQL")
            spinner.start()
    return jobs


@contextlib.contextmanager
def _temporary_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="attune-demo-"))
    try:
        yield directory
    finally:
        _remove(directory)


def _remove(directory: Path) -> None:
    """Remove it; what an interrupted start of PostgreSQL left running ends by itself, but may still be writing."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    while True:
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists() or time.monotonic() >= deadline:
            return
        time.sleep(0.05)


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


def _wait_for_worker(database: Database, agent: ChildProcess) -> Worker:
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


def _exit_code_of(jobs: list[Job], seconds: float) -> int:
    done = sum(1 for job in jobs if job.execution is not None and job.execution.status == "completed")
    screen = console(stderr=True)
    if not jobs:
        raise AgentError("no runtime was found on this machine", hint="see: attune-agent --detect-only")
    good = done == len(jobs)
    line = f"{done} of {len(jobs)} actions completed in {short(seconds)}; everything was stopped and removed"
    screen.print(Text(("✓ " if good else "✗ ") + line, style="green" if good else "red"))
    return 0 if good else 1
