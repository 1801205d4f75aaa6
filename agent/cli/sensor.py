"""``attune sensor``: the programs that notice what happens."""

from __future__ import annotations

from typing import Any

import click

from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.rule import state, switch
from agent.cli.tables import print_details, print_json, print_table

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def sensor() -> None:
    """List, show and switch sensors: the programs that notice what happens."""


@sensor.command("list")
@_json
@click.pass_obj
def list_all(deployment: Deployment, as_json: bool) -> None:
    """List the sensors."""
    with deployment.operations() as operations:
        found = operations.events.sensors()
    if as_json:
        print_json(found)
        return
    print_table(
        ["REF", "STATE", "PROCESS", "RUNTIME", "TRIGGERS"],
        (
            [one["ref"], state(one), one["process_status"], one["runtime_ref"], ", ".join(one["trigger_refs"])]
            for one in found
        ),
        empty="there is no sensor",
    )


@sensor.command()
@click.argument("ref", shell_complete=complete("sensor"))
@_json
@click.pass_obj
def show(deployment: Deployment, ref: str, as_json: bool) -> None:
    """Show a sensor, and where it runs."""
    with deployment.operations() as operations:
        found = operations.events.sensor(ref)
    if as_json:
        print_json(found)
        return
    print_details(
        [
            ("Sensor", found["ref"]),
            ("Label", found["label"]),
            ("Description", found["description"]),
            ("State", state(found)),
            ("Runtime", found["runtime_ref"]),
            ("Version", found["runtime_version_constraint"]),
            ("Entry point", found["entrypoint"]),
            ("Triggers", ", ".join(found["trigger_refs"]) or None),
            ("Processes", "\n".join(_process(one) for one in found["processes"]) or "none"),
        ]
    )


@sensor.command()
@click.argument("ref", shell_complete=complete("sensor"))
@click.pass_obj
def enable(deployment: Deployment, ref: str) -> None:
    """Switch a sensor on."""
    switch(deployment, "sensor", ref, on=True)


@sensor.command()
@click.argument("ref", shell_complete=complete("sensor"))
@click.pass_obj
def disable(deployment: Deployment, ref: str) -> None:
    """Switch a sensor off: its processes end."""
    switch(deployment, "sensor", ref, on=False)


def _process(row: dict[str, Any]) -> str:
    parts = [f"{row['status']} on {row['worker']}"]
    if row["pid"]:
        parts.append(f"process {row['pid']}")
    if row["consecutive_failures"]:
        parts.append(f"{row['consecutive_failures']} failures")
    if row["reason"]:
        parts.append(str(row["reason"]))
    return ", ".join(parts)
