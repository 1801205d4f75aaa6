"""``attune pack``: register packs from directories, list those that are registered."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.tables import ago, print_details, print_json, print_table
from agent.errors import AgentError
from agent.packs.model import Problem
from agent.paths import shipped

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_KINDS = ("runtime", "action", "sensor", "trigger", "permission_set")


@click.group()
def pack() -> None:
    """Register packs, list, show and remove those that are registered."""


@pack.command("register")
@click.argument("path", type=click.Path(path_type=Path))
@_json
@click.pass_obj
def register_pack(deployment: Deployment, path: Path, as_json: bool) -> int:
    """Register the pack in the directory PATH, or register it again after a change.

    A bare name such as `core` means a pack that ships with this program, when there is no such directory. The files
    are copied below packs_base_dir unless they lie there already; workers are told when message_queue.url is set, or
    the database is the broker.
    """
    with deployment.operations() as operations:
        outcome = operations.catalog.register(_directory(path))
    _print_problems("warning: ", outcome.warnings)
    if outcome.document is None:
        return _refuse(path, outcome.problems, outcome.warnings, as_json=as_json)
    if as_json:
        print_json(outcome.document)
    else:
        _print_report(outcome.document)
    if outcome.trouble is not None:
        message = f"the pack is registered, but workers were not notified: {outcome.trouble}"
        raise type(outcome.trouble)(message, hint="register it again when the broker is back") from outcome.trouble
    return 0


@pack.command("list")
@_json
@click.pass_obj
def list_packs(deployment: Deployment, as_json: bool) -> None:
    """List the registered packs."""
    with deployment.operations() as operations:
        found = operations.catalog.packs()
    if as_json:
        print_json(found)
        return
    print_table(
        ["REF", "VERSION", "LABEL", "ACTIONS", "SENSORS", "TRIGGERS", "RUNTIMES", "UPDATED"],
        (
            [
                item.ref,
                item.version,
                item.label,
                item.actions,
                item.sensors,
                item.triggers,
                item.runtimes,
                ago(item.updated),
            ]
            for item in found
        ),
        empty="no pack is registered; register the core pack with: attune pack register core",
    )


@pack.command("show")
@click.argument("ref", shell_complete=complete("pack"))
@_json
@click.pass_obj
def show_pack(deployment: Deployment, ref: str, as_json: bool) -> None:
    """Show a pack with everything that it brought."""
    with deployment.operations() as operations:
        found = operations.catalog.pack(ref)
    if as_json:
        print_json(found)
        return
    parts = ("actions", "sensors", "triggers", "runtimes")
    print_details(
        [
            ("Pack", f"{found['ref']} {found['version']}"),
            ("Label", found["label"]),
            ("Description", found["description"]),
            ("Files", found["storage_path"]),
            *((part.capitalize(), "\n".join(found[part]) or None) for part in parts),
            ("Updated", ago(found["updated"])),
        ]
    )


@pack.command("remove")
@click.argument("ref", shell_complete=complete("pack"))
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.pass_obj
def remove(deployment: Deployment, ref: str, yes: bool) -> None:
    """Delete a pack: actions, keys and files; its executions stay."""
    with deployment.operations() as operations:
        found = operations.catalog.pack(ref)
        if not yes:
            click.confirm(f"delete {ref} with {len(found['actions'])} actions and its files?", abort=True, err=True)
        operations.catalog.remove_pack(ref)
    click.echo(f"removed {ref}")


def _directory(path: Path) -> Path:
    """Return the directory that PATH means."""
    if not path.exists() and len(path.parts) == 1:
        try:
            bundled = shipped("packs") / path
        except FileNotFoundError:
            return path
        if bundled.is_dir():
            return bundled
    return path


def _refuse(path: Path, problems: Iterable[Problem], warnings: Iterable[Problem], *, as_json: bool) -> int:
    listed = list(problems)
    if as_json:
        print_json({"problems": listed, "warnings": list(warnings)})
    _print_problems("", listed)
    count = "1 problem" if len(listed) == 1 else f"{len(listed)} problems"
    print(f"attune: {path} was not registered: {count}", file=sys.stderr)
    return AgentError.exit_code


def _print_problems(label: str, problems: Iterable[Problem]) -> None:
    for problem in problems:
        print(f"attune: {label}{problem}", file=sys.stderr)


def _print_report(done: Mapping[str, Any]) -> None:
    pack, files = done["pack"], done["files"]
    changed = [one["kind"] for one in (*done["added"], *done["updated"])]
    counts = [(kind, changed.count(kind)) for kind in _KINDS]
    parts = ", ".join(f"{count} {kind.replace('_', ' ')}{'s' * (count != 1)}" for kind, count in counts if count)
    word = "registered" if pack["created"] else "updated"
    click.echo(f"{word} {pack['ref']} {pack['version']}" + (f": {parts}" if parts else ""))
    click.echo(f"  files {'copied to' if files['copied'] else 'already in'} {files['path']}")
    for gone in done["removed"]:
        click.echo(f"  removed {gone['kind']} {gone['ref']}: it is no longer in the pack")
    for kept in done["kept"]:
        click.echo(f"  kept {kept['kind']} {kept['ref']}, which is no longer in the pack: {kept['reason']}")
    for note in done["notes"]:
        click.echo(f"  {note}")
    if done["announced"]:
        names = ", ".join(done["runtime_names"])
        click.echo("  workers were notified" + (f" to prepare: {names}" if names else ""))
    else:
        click.echo("  workers were not notified")
