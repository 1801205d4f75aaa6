"""``attune rule``: which event starts which action."""

from __future__ import annotations

import json
from typing import Any

import click

from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.tables import ago, print_details, print_json, print_table
from agent.errors import UsageError
from agent.operations.interface import NewRule
from agent.reading.json_text import read_json

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def rule() -> None:
    """List, make, switch and delete rules: which event starts which action."""


@rule.command("list")
@click.option("--trigger", metavar="REF", help="Only the rules of this trigger.", shell_complete=complete("trigger"))
@_json
@click.pass_obj
def list_all(deployment: Deployment, trigger: str | None, as_json: bool) -> None:
    """List the rules."""
    with deployment.operations() as operations:
        found = operations.events.rules(trigger)
    if as_json:
        print_json(found)
        return
    print_table(
        ["REF", "STATE", "TRIGGER", "ACTION", "LABEL"],
        ([one["ref"], state(one), one["trigger_ref"], one["action_ref"], one["label"]] for one in found),
        empty="there is no rule; make one with: attune rule create REF --trigger REF --action REF",
    )


@rule.command()
@click.argument("ref", shell_complete=complete("rule"))
@_json
@click.pass_obj
def show(deployment: Deployment, ref: str, as_json: bool) -> None:
    """Show a rule with its condition and its parameters."""
    with deployment.operations() as operations:
        found = operations.events.rule(ref)
    if as_json:
        print_json(found)
        return
    conditions = found["conditions"]
    expression = conditions.get("expression") if isinstance(conditions, dict) else None
    print_details(
        [
            ("Rule", found["ref"]),
            ("Label", found["label"]),
            ("Description", found["description"]),
            ("State", state(found)),
            ("Trigger", found["trigger_ref"]),
            ("Trigger params", found["trigger_params"] or None),
            ("Condition", expression or conditions or "none: every event matches"),
            ("Action", found["action_ref"] if found["action"] else f"{found['action_ref']} (deleted: nothing starts)"),
            ("Action params", json.dumps(found["action_params"], indent=2, ensure_ascii=False)),
            ("Changed", ago(found["updated"])),
        ]
    )


@rule.command()
@click.argument("ref")
@click.option("--trigger", required=True, metavar="REF", help="What must happen.", shell_complete=complete("trigger"))
@click.option("--action", required=True, metavar="REF", help="What is run then.", shell_complete=complete("action"))
@click.option("--if", "condition", metavar="EXPRESSION", help="Only where this holds, e.g. event.payload.n > 3.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the action: JSON or text, with templates.",
)
@click.option(
    "--trigger-param",
    "trigger_params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the trigger: JSON or text.",
)
@click.option("--label", help="What people read.")
@click.option("--disabled", is_flag=True, help="Leave it off at first.")
@_json
@click.pass_obj
def create(
    deployment: Deployment,
    ref: str,
    trigger: str,
    action: str,
    condition: str | None,
    params: tuple[str, ...],
    trigger_params: tuple[str, ...],
    label: str | None,
    disabled: bool,
    as_json: bool,
) -> None:
    """Make a rule.

    For example: attune rule create core.greet --trigger core.hello --action core.echo --param 'message=Hello {{
    event.payload.name }}'
    """
    wanted = NewRule(
        ref,
        trigger,
        action,
        label,
        conditions=None if condition is None else {"expression": condition},
        action_params=pairs("--param", params),
        trigger_params=pairs("--trigger-param", trigger_params),
        enabled=not disabled,
    )
    with deployment.operations() as operations:
        made = operations.events.create_rule(wanted)
    if as_json:
        print_json(made)
    else:
        click.echo(f"made rule {made['ref']}, {state(made)}")


@rule.command()
@click.argument("ref", shell_complete=complete("rule"))
@click.pass_obj
def delete(deployment: Deployment, ref: str) -> None:
    """Delete a rule; what it started stays."""
    with deployment.operations() as operations:
        operations.events.delete_rule(ref)
    click.echo(f"deleted rule {ref}")


@rule.command()
@click.argument("ref", shell_complete=complete("rule"))
@click.pass_obj
def enable(deployment: Deployment, ref: str) -> None:
    """Switch a rule on."""
    switch(deployment, "rule", ref, on=True)


@rule.command()
@click.argument("ref", shell_complete=complete("rule"))
@click.pass_obj
def disable(deployment: Deployment, ref: str) -> None:
    """Switch a rule off."""
    switch(deployment, "rule", ref, on=False)


def switch(deployment: Deployment, kind: str, ref: str, *, on: bool) -> None:
    """Switch a rule, trigger or sensor, and say so."""
    with deployment.operations() as operations:
        operations.events.switch(kind, ref, on=on)
    click.echo(f"{kind} {ref} is {'on' if on else 'off'}")


def state(row: dict[str, Any]) -> str:
    """Say whether something is switched on."""
    return "on" if row["enabled"] else "off"


def pairs(option: str, given: tuple[str, ...]) -> dict[str, Any]:
    """Read ``name=value`` pairs: a value that is JSON is what it says, any other is text.

    Raises:
        UsageError: one has no ``=``.
    """
    found: dict[str, Any] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {pair!r} must be written name=value")
        try:
            found[name] = read_json(text)
        except ValueError:
            found[name] = text
    return found
