"""``attune sensor``: the programs that notice what happens."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

import click

from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.rule import state, switch
from agent.cli.tables import print_details, print_json, print_table
from agent.errors import AgentError, UsageError
from agent.process.request import Ending

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
@click.option("--local", is_flag=True, help="Run it here, in this terminal.")
@click.pass_obj
def run(deployment: Deployment, ref: str, local: bool) -> None:
    """Try a sensor by hand, with what a sensor service would give it.

    It takes the settings of a worker and works on the database. No service runs the sensor meanwhile.
    """
    if not local:
        raise UsageError("sensor services run sensors by themselves", hint="--local runs it here, in this terminal")
    from agent.process.stop_signals import StopSignals
    from agent.sensors.by_hand import Terminal, run_by_hand

    terminal = Terminal(_writer(sys.stdout), _writer(sys.stderr), lambda text: click.echo(text, err=True))
    with StopSignals() as signals:
        outcome = run_by_hand(deployment.loaded, ref, terminal, signals.stop)
    if outcome.reason:
        raise AgentError(outcome.reason)
    if outcome.ending is Ending.CANCELLED:
        return
    how = f"signal {outcome.signal}" if outcome.exit_code is None else f"exit code {outcome.exit_code}"
    raise AgentError(f"{ref} has ended with {how}", hint="a service would start it again after a while")


def _writer(stream: TextIO) -> Callable[[bytes], None]:
    def write(chunk: bytes) -> None:
        stream.buffer.write(chunk)
        stream.buffer.flush()

    return write


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
