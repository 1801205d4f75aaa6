"""``attune env``: the isolated environments on this machine."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import click

from agent.cli.deployment import Deployment
from agent.cli.tables import ago, print_json, print_table, short
from agent.environments.inventory import IN_USE, BuiltEnvironment, inventory, prune

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def env() -> None:
    """List, build and remove the isolated environments below runtime_envs_dir of this machine."""


@env.command("list")
@click.option("--pack", help="Only those of this pack.")
@_json
@click.pass_obj
def list_environments(deployment: Deployment, pack: str | None, as_json: bool) -> None:
    """List every build, and what was compiled from actions, with size and last use."""
    found = [item for item in inventory(deployment.loaded.settings.runtime_envs_dir) if pack in (None, item.pack)]
    if as_json:
        print_json([_document(item) for item in found])
        return
    print_table(
        ["PACK", "NAME", "VERSION", "STATE", "SIZE", "LAST USED", "PATH"],
        (
            [item.pack, item.name, item.built_from, _state(item), _megabytes(item.size), _used(item), str(item.path)]
            for item in found
        ),
        empty="no environment has been built here",
    )


@env.command("build")
@click.argument("pack", required=False)
@click.pass_obj
def build(deployment: Deployment, pack: str | None) -> int:
    """Build what the actions of PACK (or of all packs) need on this machine and what isn't there yet."""
    return _build(deployment, pack, again=False)


@env.command("rebuild")
@click.argument("pack")
@click.pass_obj
def rebuild(deployment: Deployment, pack: str) -> int:
    """Build everything that PACK needs anew; executions that run finish on what they began with."""
    return _build(deployment, pack, again=True)


@env.command("prune")
@click.option("--unused-for", type=float, help="Seconds; default environments.keep_unused.")
@click.option("--max-bytes", type=int, help="Size that may stay; default environments.max_bytes, 0 for no limit.")
@_json
@click.pass_obj
def prune_environments(deployment: Deployment, unused_for: float | None, max_bytes: int | None, as_json: bool) -> None:
    """Remove what was replaced, compiled or begun and isn't used, then the longest unused until the rest is small."""
    settings = deployment.loaded.settings
    keep = settings.environments.keep_unused if unused_for is None else unused_for
    removed = prune(
        settings.runtime_envs_dir,
        keep_unused=keep,
        max_bytes=settings.environments.max_bytes if max_bytes is None else max_bytes,
    )
    if as_json:
        print_json([_document(item) for item in removed])
        return
    for item in removed:
        click.echo(f"removed {item.path} ({_megabytes(item.size)})")
    click.echo(f"{len(removed)} removed, {_megabytes(sum(item.size for item in removed))} freed")
    replaced = [item for item in inventory(settings.runtime_envs_dir) if _state(item) == "replaced"]
    if replaced:
        size, idle = _megabytes(sum(item.size for item in replaced)), short(max(keep, IN_USE))
        click.echo(f"{len(replaced)} replaced, {size}, may be in use and go when nobody has used them for {idle}")


def _build(deployment: Deployment, pack: str | None, *, again: bool) -> int:
    from agent.worker.local_builds import build_here  # it needs what a worker needs; listing doesn't

    outcomes = build_here(deployment.loaded, pack, again=again, say=click.echo)
    for outcome in outcomes:
        click.echo(f"{outcome.name}: {outcome.what}", err=outcome.failed)
    if not outcomes:
        click.echo("nothing to build: no action needs an environment on this machine")
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def _document(item: BuiltEnvironment) -> dict[str, Any]:
    used = None if item.last_used is None else datetime.fromtimestamp(item.last_used, UTC).isoformat(timespec="seconds")
    return {
        "pack": item.pack,
        "name": item.name,
        "version": item.built_from,
        "state": _state(item),
        "size": item.size,
        "last_used": used,
        "path": str(item.path),
    }


def _state(item: BuiltEnvironment) -> str:
    if not item.complete:
        return "incomplete"
    if item.compiled:
        return "compiled"
    return "current" if item.current else "replaced"


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB"


def _used(item: BuiltEnvironment) -> str | None:
    if item.last_used is None or item.last_used > time.time():
        return None
    return ago(datetime.fromtimestamp(item.last_used, UTC))
