"""``attune event``: what happened, and what it started."""

from __future__ import annotations

import json
from typing import Any

import click

from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.tables import ago, print_details, print_json, print_table
from agent.errors import UsageError
from agent.reading.json_text import read_json

_ID = click.IntRange(0, 2**63 - 1)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def event() -> None:
    """List, show, send and explain events: what happened."""


@event.command("list")
@click.option(
    "-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first."
)
@click.option("--trigger", metavar="REF", help="Only events of this trigger.", shell_complete=complete("trigger"))
@_json
@click.pass_obj
def list_all(deployment: Deployment, limit: int, trigger: str | None, as_json: bool) -> None:
    """List the newest events."""
    with deployment.operations() as operations:
        found = operations.events.recent(limit=limit, trigger_ref=trigger)
    if as_json:
        print_json(found)
        return
    print_table(
        ["ID", "TRIGGER", "SOURCE", "FOR RULE", "CREATED", "MATCHED", "FAILED"],
        (
            [
                one["id"],
                one["trigger_ref"],
                one["source_ref"],
                one["rule_ref"],
                ago(one["created"]),
                one["matched"],
                one["failed"],
            ]
            for one in found
        ),
        empty="no events",
    )


@event.command()
@click.argument("event_id", type=_ID)
@_json
@click.pass_obj
def show(deployment: Deployment, event_id: int, as_json: bool) -> None:
    """Show an event with its payload."""
    with deployment.operations() as operations:
        found = operations.events.event(event_id)
    if as_json:
        print_json(found)
        return
    print_details(
        [
            ("Event", found["id"]),
            ("Trigger", found["trigger_ref"]),
            ("Source", found["source_ref"]),
            ("For rule", found["rule_ref"]),
            ("Created", f"{found['created']:%Y-%m-%d %H:%M:%S} UTC ({ago(found['created'])})"),
            ("Outcome", _outcome(found["outcome"])),
            ("Payload", json.dumps(found["payload"], indent=2, ensure_ascii=False)),
        ]
    )


@event.command()
@click.argument("trigger", shell_complete=complete("trigger"))
@click.argument("payload", required=False)
@click.option("--rule", metavar="REF", help="For this rule alone.", shell_complete=complete("rule"))
@_json
@click.pass_obj
def send(deployment: Deployment, trigger: str, payload: str | None, rule: str | None, as_json: bool) -> None:
    """Send an event with a payload of JSON, e.g.: attune event send core.hello '{"name": "Ada"}'."""
    try:
        value = None if payload is None else read_json(payload)
    except ValueError as error:
        raise UsageError(f"the payload is not JSON: {error}") from None
    with deployment.operations() as operations:
        made = operations.events.send(trigger, value, rule_ref=rule)
    if as_json:
        print_json({"id": made})
    else:
        click.echo(made)


@event.command()
@click.argument("event_id", type=_ID)
@_json
@click.pass_obj
def explain(deployment: Deployment, event_id: int, as_json: bool) -> None:
    """Say why an event started what it started, or nothing, rule by rule."""
    with deployment.operations() as operations:
        found = operations.events.explain(event_id)
    if as_json:
        print_json(found)
        return
    click.echo(found.sentence)
    for one in found.rules:
        click.echo(f"  {one.rule_ref}: {one.sentence}")


def _outcome(found: dict[str, Any] | None) -> str:
    if found is None:
        return "no rule processor ran when it was made"
    if found["processed"] is None:
        return "waits for the rule processor"
    if found["note"]:
        return str(found["note"])
    return f"{found['matched']} of {found['rules']} rules matched, {found['failed']} failed"
