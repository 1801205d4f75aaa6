"""``attune trigger``: what may happen."""

from __future__ import annotations

import json
from typing import Any

import click

from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.rule import state, switch
from agent.cli.tables import print_details, print_json, print_table

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def trigger() -> None:
    """List, show and switch triggers: what may happen."""


@trigger.command("list")
@_json
@click.pass_obj
def list_all(deployment: Deployment, as_json: bool) -> None:
    """List the triggers."""
    with deployment.operations() as operations:
        found = operations.events.triggers()
    if as_json:
        print_json(found)
        return
    print_table(
        ["REF", "STATE", "SENSOR", "WEBHOOK", "LABEL"],
        (
            [one["ref"], state(one), one["sensor_ref"], "yes" if one["webhook_enabled"] else None, one["label"]]
            for one in found
        ),
        empty="there is no trigger; register a pack with: attune pack register core",
    )


@trigger.command()
@click.argument("ref", shell_complete=complete("trigger"))
@_json
@click.pass_obj
def show(deployment: Deployment, ref: str, as_json: bool) -> None:
    """Show a trigger with what rules give it and what its events bring."""
    with deployment.operations() as operations:
        found = operations.events.trigger(ref)
    if as_json:
        print_json(found)
        return
    print_details(
        [
            ("Trigger", found["ref"]),
            ("Label", found["label"]),
            ("Description", found["description"]),
            ("State", state(found)),
            ("Sensor", found["sensor_ref"]),
            ("Webhook", "on" if found["webhook_enabled"] else None),
            ("Parameters", _pretty(found["param_schema"])),
            ("Payload", _pretty(found["out_schema"])),
        ]
    )


@trigger.command()
@click.argument("ref", shell_complete=complete("trigger"))
@click.pass_obj
def enable(deployment: Deployment, ref: str) -> None:
    """Switch a trigger on."""
    switch(deployment, "trigger", ref, on=True)


@trigger.command()
@click.argument("ref", shell_complete=complete("trigger"))
@click.pass_obj
def disable(deployment: Deployment, ref: str) -> None:
    """Switch a trigger off: its events start nothing."""
    switch(deployment, "trigger", ref, on=False)


def _pretty(value: Any) -> str | None:
    return json.dumps(value, indent=2, ensure_ascii=False) if value else None
