"""``attune up`` and ``attune down``: everything on this machine, kept from one run to the next."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click

from agent.cli.child_process import entry
from agent.cli.edge import complain
from agent.cli.interruption import refuse_signals, stoppable
from agent.cli.local_site import LocalSite, State
from agent.cli.tables import console, print_json
from agent.errors import AgentError, UsageError
from agent.logs import configure_logging

_START_SECONDS, _STOP_SECONDS, _PAUSE = 90.0, 60.0, 0.1

_directory = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where everything is kept; default ~/.local/share/attune-up, for root /var/lib/attune-up.",
)


@click.command()
@_directory
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; default 8080 or the next free one.")
@click.option("--detach", is_flag=True, help="Go on in the background; `attune down` ends it.")
@click.option("--reset", is_flag=True, help="Delete the database and everything else of an earlier run first.")
@click.option("--yes", is_flag=True, help="Don't ask before --reset deletes.")
@click.option("--json", "as_json", is_flag=True, help="Print what runs as JSON.")
def up(directory: Path | None, host: str, port: int | None, detach: bool, reset: bool, yes: bool, as_json: bool) -> int:
    """Run everything on this machine: a PostgreSQL, the server with its page, one worker, and a sensor service.

    What is in the database is kept from one run to the next. Ctrl-C stops everything in order.
    """
    site = LocalSite(directory)
    configure_logging("error", "pretty", colour=console(stderr=True).is_terminal)
    if reset:
        _reset(site, yes=yes)
    if detach:
        return _detached(site, host, port, as_json=as_json)
    with site.held() as mine:
        if mine:
            return _foreground(site, host, port, as_json=as_json)
    _tell(_of_the_other(site), as_json=as_json, again=True)
    return 0


@click.command()
@_directory
def down(directory: Path | None) -> int:
    """End what `attune up` started, in order; what is in the database is kept."""
    site = LocalSite(directory)
    pid = site.holder()
    if pid is None:
        click.echo(f"nothing is up in {site.directory}", err=True)
        return 0
    words = _command_line(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while site.holder() == pid or (words and _command_line(pid) == words):
        if time.monotonic() > deadline:
            raise AgentError(f"process {pid} has not stopped within {_STOP_SECONDS:.0f} s")
        time.sleep(_PAUSE)
    click.echo(f"stopped; what is in {site.directory} is kept", err=True)
    return 0


def _foreground(site: LocalSite, host: str, port: int | None, *, as_json: bool) -> int:
    from agent.cli.local_services import LocalServices

    screen = console(stderr=True)
    status = screen.status("starting")
    ready = False
    try:
        with stoppable(), status:
            services = LocalServices(site, status.update)
            with services.running(host, port) as state:
                status.stop()
                ready = True
                _tell(state, as_json=as_json)
                site.tell(state)
                try:
                    while True:
                        services.check()
                        time.sleep(_PAUSE * 5)
                finally:
                    refuse_signals()
                    click.echo("stopping sensors, the worker, the server and PostgreSQL", err=True)
    except KeyboardInterrupt:
        if not ready:
            raise
        click.echo(f"stopped; what is in {site.directory} is kept", err=True)
    return 0


def _detached(site: LocalSite, host: str, port: int | None, *, as_json: bool) -> int:
    if site.holder() is not None:
        _tell(_of_the_other(site), as_json=as_json, again=True)
        return 0
    with site.held() as mine:  # makes the directory, and says what is wrong with it
        words = ["up", "--directory", str(site.directory), "--host", host]
        if port is not None:
            words += ["--port", str(port)]
        log = site.write("up.log", "") if mine else site.path("up.log")
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", entry("up"), *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        state = site.state()
        if state is not None and state.pid == child.pid:
            _tell(state, as_json=as_json, detached=True)
            click.echo("stop it with: " + _command("down", site), err=True)
            return 0
        if child.poll() is not None:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            for line in said[-5:]:
                label, _, text = line.partition(": ")
                complain(label, text) if label in ("attune", "hint") else click.echo(line, err=True)
            return child.returncode or 0
        time.sleep(_PAUSE)
    raise AgentError(f"it was not ready within {_START_SECONDS:.0f} s", hint=f"see: {log}")


def _of_the_other(site: LocalSite) -> State:
    """Return what the one who holds the directory says, as soon as it is ready."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        state = site.state()
        if state is not None:
            return state
        if site.holder() is None:
            raise AgentError(f"the other attune up in {site.directory} has just ended", hint="start it again")
        time.sleep(_PAUSE)
    raise AgentError(f"another attune up holds {site.directory} and is not ready", hint="attune down ends it")


def _reset(site: LocalSite, *, yes: bool) -> None:
    with site.held() as mine:
        if not mine:
            raise UsageError(f"it runs in {site.directory}", hint=f"end it first: {_command('down', site)}")
        if not site.used:
            return
        if not yes:
            click.confirm(f"delete the database, packs and logs in {site.directory}?", abort=True, err=True)
        site.reset()


def _tell(state: State, *, as_json: bool, again: bool = False, detached: bool = False) -> None:
    if as_json:
        print_json({name: getattr(state, name) for name in ("pid", "url", "directory", "login", "password", "worker")})
        return
    config = Path(state.directory) / "config.yaml"
    password = state.password or "as you set it; another: attune identity set-password admin"
    head = "is up already" if again else f"ready in {state.seconds:g} s"
    lines = [
        f"attune {head}",
        "",
        f"  page      {state.url}",
        f"  account   {state.login}",
        f"  password  {password}",
        f"  worker    {state.worker}, on this machine",
        f"  kept in   {state.directory}",
        "",
        f"  try       export ATTUNE_CONFIG={config}",
        "            attune run examples.hello_shell -p name=you",
        "            attune rule enable examples.every_minute",
    ]
    if not again and not detached:
        lines += ["", "  Ctrl-C stops it; attune up --reset begins anew"]
    click.echo("\n".join(lines))


def _command_line(pid: int) -> bytes:
    """Return how a process was started, nothing once it has ended, whoever has still to notice that."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _command(name: str, site: LocalSite) -> str:
    usual = LocalSite(None).directory == site.directory
    return f"attune {name}" if usual else f"attune {name} --directory {site.directory}"
