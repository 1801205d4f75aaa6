"""``attune worker``: who is there, what they offer, how they are."""

from __future__ import annotations

import json

import click
from rich.text import Text

from agent.cli.deployment import Deployment
from agent.cli.tables import ago, print_details, print_json, print_table, since, status
from agent.control.fleet import Worker, workers

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def worker() -> None:
    """List and show workers."""


@worker.command("list")
@_json
@click.pass_obj
def list_workers(deployment: Deployment, as_json: bool) -> None:
    """List the workers."""
    with deployment.database() as database:
        found = workers(database)
    if as_json:
        print_json(found)
        return
    print_table(
        ["ID", "NAME", "STATUS", "HEARTBEAT", "RUNNING", "RUNTIMES"],
        ([item.id, item.name, _state(item), _heartbeat(item), item.running, _runtimes(item)] for item in found),
        empty="no worker is registered; start one, e.g. with: attune-agent",
    )


@worker.command()
@click.argument("name")
@_json
@click.pass_obj
def show(deployment: Deployment, name: str, as_json: bool) -> None:
    """Show one worker with everything that it advertises."""
    with deployment.database() as database:
        item = workers(database, name)[0]
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
