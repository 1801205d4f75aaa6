"""``attune worker``: who is there, what they offer, how they are."""

from __future__ import annotations

import json
import time

import click
from rich.text import Text

from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.tables import ago, print_details, print_json, print_table, since, status
from agent.control.fleet import Worker

_PAUSE = 0.5
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def worker() -> None:
    """List and show workers, take them out of use and back."""


@worker.command("list")
@_json
@click.pass_obj
def list_workers(deployment: Deployment, as_json: bool) -> None:
    """List the workers."""
    with deployment.operations() as operations:
        found = operations.workers.find()
    if as_json:
        print_json(found)
        return
    print_table(
        ["ID", "NAME", "STATUS", "HEARTBEAT", "RUNNING", "RUNTIMES"],
        ([item.id, item.name, _state(item), _heartbeat(item), item.running, _runtimes(item)] for item in found),
        empty="no worker is registered; start one, e.g. with: attune-agent",
    )


@worker.command()
@click.argument("name", shell_complete=complete("worker"))
@_json
@click.pass_obj
def show(deployment: Deployment, name: str, as_json: bool) -> None:
    """Show one worker with everything that it advertises."""
    with deployment.operations() as operations:
        item = operations.workers.find(name)[0]
    if as_json:
        print_json(item)
        return
    print_details(
        [
            ("Worker", f"{item.name} (id {item.id})"),
            ("Status", _state(item)),
            ("Heartbeat", _heartbeat(item)),
            ("Role", f"{item.worker_role}, {item.worker_type}"),
            ("Host", item.host),
            ("Version", item.offers.get("worker_version")),
            ("Running", f"{item.running} of {item.offers.get('max_concurrent_executions', '?')}"),
            ("Runtimes", _runtimes(item)),
            ("Interpreters", _interpreters(item)),
            ("Labels", json.dumps(item.offers["labels"]) if item.offers.get("labels") else None),
            ("Taints", json.dumps(item.offers["taints"]) if item.offers.get("taints") else None),
            ("Registered", ago(item.created)),
        ]
    )


@worker.command()
@click.argument("name", shell_complete=complete("worker"))
@click.option("--reason", help="Why; shown to everybody.")
@click.pass_obj
def cordon(deployment: Deployment, name: str, reason: str | None) -> None:
    """Give a worker nothing more; what it has goes on."""
    with deployment.operations() as operations:
        found = operations.workers.cordon(name, reason)
    click.echo(f"{name} is cordoned; {found.running} executions go on")


@worker.command()
@click.argument("name", shell_complete=complete("worker"))
@click.pass_obj
def uncordon(deployment: Deployment, name: str) -> None:
    """Let a worker have work again."""
    with deployment.operations() as operations:
        operations.workers.uncordon(name)
    click.echo(f"{name} gets work again")


@worker.command()
@click.argument("name", shell_complete=complete("worker"))
@click.option("--reason", help="Why; shown to everybody.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Wait S seconds at most; default no limit.")
@click.pass_obj
def drain(deployment: Deployment, name: str, reason: str | None, timeout: float | None) -> int:
    """Cordon a worker, give what it has not begun to others, and wait until nothing runs on it.

    Its process stays; stop it when this command has returned. Exits with 1 when time was up before.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with deployment.operations() as operations:
        drained, returned = operations.workers.drain(name, reason)
        click.echo(f"{name} is cordoned; {returned} unstarted executions are given to others", err=True)
        while True:
            state = operations.workers.state(drained)
            if state.drained:
                click.echo(f"nothing is left on {name}")
                return 0
            if deadline is not None and time.monotonic() >= deadline:
                click.echo(f"{state.running + state.scheduled} executions are still on {name}")
                return 1
            time.sleep(_PAUSE)


@worker.command()
@click.argument("name", shell_complete=complete("worker"))
@click.pass_obj
def remove(deployment: Deployment, name: str) -> None:
    """Delete the row and the queues of a worker that is gone for good."""
    with deployment.operations() as operations:
        operations.workers.remove(name)
    click.echo(f"{name} is removed")


def _state(item: Worker) -> Text:
    if item.cordoned:
        return Text("cordoned" + (f" ({item.cordon_reason})" if item.cordon_reason else ""), style="yellow")
    if item.status == "active" and not item.alive:
        return Text("active, but silent", style="red")
    return status(item.status)


def _heartbeat(item: Worker) -> str:
    return since(item.heartbeat_age) if item.heartbeat_age is not None else "never"


def _runtimes(item: Worker) -> str:
    names = item.offers.get("runtimes")
    return ", ".join(str(name) for name in names) if isinstance(names, list) else ""


def _interpreters(item: Worker) -> str | None:
    entries = item.offers.get("detected_interpreters")
    if not isinstance(entries, list) or not entries:
        return None
    return "\n".join(
        f"{entry.get('name')} {entry.get('version') or 'unknown version'} ({entry.get('path')})"
        for entry in entries
        if isinstance(entry, dict)
    )
