"""``attune action``: what can be run."""

from __future__ import annotations

import json
from typing import Any

import click

from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.tables import print_details, print_json, print_table

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def action() -> None:
    """List and show actions."""


@action.command("list")
@click.option("--pack", metavar="REF", help="Only the actions of this pack.")
@_json
@click.pass_obj
def list_all(deployment: Deployment, pack: str | None, as_json: bool) -> None:
    """List the actions."""
    with deployment.operations() as operations:
        found = operations.catalog.actions(pack)
    if as_json:
        print_json(found)
        return
    print_table(
        ["REF", "RUNTIME", "VERSION", "DESCRIPTION"],
        ([one["ref"], one["runtime"], one["version"], _short(one["description"])] for one in found),
        empty="there is no action; register a pack with: attune pack register core",
    )


@action.command()
@click.argument("ref", shell_complete=complete("action"))
@_json
@click.pass_obj
def show(deployment: Deployment, ref: str, as_json: bool) -> None:
    """Show an action with its parameters."""
    with deployment.operations() as operations:
        found = operations.catalog.action(ref)
    if as_json:
        print_json(found)
        return
    names = ("version", "entrypoint", "timeout_seconds", "max_retries")
    placement = ("required_worker_runtimes", "worker_selector", "worker_tolerations", "worker_affinity")
    print_details(
        [
            ("Action", found["ref"]),
            ("Label", found["label"]),
            ("Description", found["description"]),
            ("Runtime", found["runtime"]),
            *((name.replace("_", " ").capitalize(), found[name] or None) for name in names),
            *((name.replace("_", " ").capitalize(), found[name] or None) for name in placement),
            ("Parameters", _pretty(found["parameters"])),
            ("Output", _pretty(found["output"])),
        ]
    )


def _short(text: Any) -> str:
    words = " ".join(str(text or "").split())
    return words if len(words) <= 60 else words[:59] + "…"


def _pretty(value: Any) -> str | None:
    return json.dumps(value, indent=2, ensure_ascii=False) if value else None
