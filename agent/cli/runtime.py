"""``attune runtime``: the runtimes and versions that are registered, and who offers them."""

from __future__ import annotations

import click

from agent.cli.deployment import Deployment
from agent.cli.tables import ago, print_json, print_table
from agent.control.fleet import runtimes, versions

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def runtime() -> None:
    """List runtimes and their versions."""


@runtime.command("list")
@_json
@click.pass_obj
def list_runtimes(deployment: Deployment, as_json: bool) -> None:
    """List the runtimes and the live workers that offer them."""
    with deployment.database() as database:
        found = runtimes(database)
    if as_json:
        print_json(found)
        return
    print_table(
        ["REF", "NAME", "ALIASES", "VERSIONS", "FROM", "WORKERS"],
        (
            [
                item.ref,
                item.name,
                ", ".join(item.aliases),
                ", ".join(item.versions),
                "detection" if item.auto_detected else item.pack,
                ", ".join(item.workers),
            ]
            for item in found
        ),
        empty="no runtime is registered; register the core pack with: attune pack register core",
    )


@runtime.command("versions")
@click.argument("ref", required=False)
@_json
@click.pass_obj
def list_versions(deployment: Deployment, ref: str | None, as_json: bool) -> None:
    """List the registered versions, of one runtime (REF, e.g. core.python) or of all."""
    with deployment.database() as database:
        found = versions(database, ref)
    if as_json:
        print_json(found)
        return
    print_table(
        ["RUNTIME", "VERSION", "DEFAULT", "AVAILABLE", "VERIFIED"],
        (
            [
                item.runtime_ref,
                item.version,
                "default" if item.is_default else None,
                "yes" if item.available else "no",
                ago(item.verified_at) or "never",
            ]
            for item in found
        ),
        empty="no version is registered",
    )
