"""``attune pack``: register packs from directories, list those that are registered."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click

from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.tables import ago, print_details, print_json, print_table
from agent.control.catalog import find_pack, remove_pack
from agent.errors import AgentError, BrokerError
from agent.mq.messages import pack_deleted, pack_registered
from agent.packs.install import Installed, install
from agent.packs.loader import Registration
from agent.packs.model import Problem
from agent.packs.parser import parse_pack
from agent.packs.registered import registered_packs, registered_runtimes
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
    settings = deployment.loaded.settings
    with deployment.database() as database:
        parsed = parse_pack(_directory(path), registered_runtimes(database))
        _print_problems("warning: ", parsed.warnings)
        if parsed.pack is None:
            return _refuse(path, parsed.problems, parsed.warnings, as_json=as_json)
        installed = install(database, parsed.pack, settings.packs_base_dir)
    told = bool(deployment.broker_settings.message_queue.url)
    trouble = _announce(deployment, installed.registration) if told else None
    told = told and trouble is None
    if as_json:
        print_json(_as_document(installed, parsed.warnings, told=told))
    else:
        _print_report(installed, told=told)
    if trouble is not None:
        message = f"the pack is registered, but workers were not notified: {trouble}"
        raise type(trouble)(message, hint="register it again when the broker is back") from trouble
    return 0


@pack.command("list")
@_json
@click.pass_obj
def list_packs(deployment: Deployment, as_json: bool) -> None:
    """List the registered packs."""
    with deployment.database() as database:
        found = registered_packs(database)
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
    with deployment.database() as database:
        found = find_pack(database, ref)
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
    settings = deployment.loaded.settings
    with deployment.database() as database:
        found = find_pack(database, ref)
        if not yes:
            click.confirm(f"delete {ref} with {len(found['actions'])} actions and its files?", abort=True, err=True)
        pack_id = remove_pack(database, ref, settings.packs_base_dir)
    click.echo(f"removed {ref}")
    if deployment.broker_settings.message_queue.url:
        with deployment.sender() as send:
            send(pack_deleted(pack_id, ref, at=datetime.now(UTC)))


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


def _announce(deployment: Deployment, registration: Registration) -> BrokerError | None:
    """Tell workers; return what went wrong: the pack is registered whatever the broker does."""
    message = pack_registered(
        registration.pack_id,
        registration.ref,
        registration.version,
        registration.runtime_names,
        at=datetime.now(UTC),
    )
    try:
        with deployment.sender() as send:
            send(message)
    except BrokerError as error:
        return error
    return None


def _print_report(installed: Installed, *, told: bool) -> None:
    done = installed.registration
    counts = [(kind, sum(one == kind for one, _ in (*done.added, *done.updated))) for kind in _KINDS]
    parts = ", ".join(f"{count} {kind.replace('_', ' ')}{'s' * (count != 1)}" for kind, count in counts if count)
    word = "registered" if done.created else "updated"
    click.echo(f"{word} {done.ref} {done.version}" + (f": {parts}" if parts else ""))
    click.echo(f"  files {'copied to' if installed.copied else 'already in'} {installed.place}")
    for gone in done.removed:
        click.echo(f"  removed {gone.kind} {gone.ref}: it is no longer in the pack")
    for kept in done.kept:
        click.echo(f"  kept {kept.kind} {kept.ref}, which is no longer in the pack: {kept.reason}")
    for note in done.notes:
        click.echo(f"  {note}")
    if told:
        names = ", ".join(done.runtime_names)
        click.echo("  workers were notified" + (f" to prepare: {names}" if names else ""))
    else:
        click.echo("  workers were not notified")


def _as_document(installed: Installed, warnings: Iterable[Problem], *, told: bool) -> dict[str, object]:
    done = installed.registration
    return {
        "pack": {"id": done.pack_id, "ref": done.ref, "version": done.version, "created": done.created},
        "added": [{"kind": kind, "ref": ref} for kind, ref in done.added],
        "updated": [{"kind": kind, "ref": ref} for kind, ref in done.updated],
        "removed": [{"kind": one.kind, "ref": one.ref} for one in done.removed],
        "kept": [{"kind": one.kind, "ref": one.ref, "reason": one.reason} for one in done.kept],
        "notes": list(done.notes),
        "warnings": list(warnings),
        "files": {"path": installed.place, "copied": installed.copied},
        "runtime_names": list(done.runtime_names),
        "announced": told,
    }
