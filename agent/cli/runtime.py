"""``attune runtime``: the runtimes and versions that are registered, and who offers them."""

from __future__ import annotations

import click

from agent.cli.deployment import Deployment
from agent.cli.tables import ago, print_json, print_table
from agent.control.version_choice import WorkerExplanation

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def runtime() -> None:
    """List runtimes and their versions."""


@runtime.command("list")
@_json
@click.pass_obj
def list_runtimes(deployment: Deployment, as_json: bool) -> None:
    """List the runtimes and the live workers that offer them."""
    with deployment.operations() as operations:
        found = operations.runtimes.all()
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
    with deployment.operations() as operations:
        found = operations.runtimes.versions(ref)
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


@runtime.command("explain")
@click.argument("action_ref")
@click.option("--worker", help="Only this worker.")
@_json
@click.pass_obj
def explain(deployment: Deployment, action_ref: str, worker: str | None, as_json: bool) -> int:
    """Say which version of its runtime an action gets on each worker, and why not another.

    The exit code is 1 when no live worker has a version that meets the action's constraint.
    """
    with deployment.operations() as operations:
        found = operations.runtimes.explain(action_ref, worker)
    met = [item for item in found.workers if item.alive and item.explanation.met]
    if as_json:
        print_json(found)
        return 0 if met or found.runtime is None else 1
    wanted = f"a version that meets {found.constraint!r}" if found.constraint else "any version"
    click.echo(f"{found.action} wants {wanted} of {found.runtime}" if found.runtime else f"{action_ref} has no runtime")
    for item in found.workers:
        _print_worker(item)
    return 0 if met or found.runtime is None else 1


def _print_worker(item: WorkerExplanation) -> None:
    click.echo(f"\n{item.worker}{'' if item.alive else ' (not alive)'}: {item.explanation.conclusion}")
    for candidate in item.explanation.candidates:
        mark = "✓" if candidate.taken else " "
        actual = f" ({candidate.actual})" if candidate.actual and candidate.actual != candidate.version else ""
        click.echo(f"  {mark} {candidate.version}{actual}: {candidate.reason}")
