"""``attune execution``: list, show, read the logs of and cancel executions."""

from __future__ import annotations

import json
import sys

import click

from agent.cli.deployment import Deployment
from agent.cli.progress import Watch
from agent.cli.tables import ago, print_details, print_json, print_table, short, status
from agent.control.executions import cancel as cancel_execution
from agent.control.executions import find, recent, wait

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def execution() -> None:
    """List, show and cancel executions, and read their logs."""


@execution.command("list")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1), help="How many, newest first.")
@click.option("--status", "wanted", metavar="STATUS", help="Only those of this status, e.g. running.")
@click.option("--action", metavar="REF", help="Only those of this action.")
@_json
@click.pass_obj
def list_executions(deployment: Deployment, limit: int, wanted: str | None, action: str | None, as_json: bool) -> None:
    """List the newest executions."""
    with deployment.database() as database:
        found = recent(database, limit=limit, status=wanted, action_ref=action)
    if as_json:
        print_json([item.as_document() for item in found])
        return
    print_table(
        ["ID", "ACTION", "STATUS", "WORKER", "CREATED", "TIME", "ERROR"],
        (
            [
                item.id,
                item.action_ref,
                status(item.status),
                item.worker,
                ago(item.created),
                short(item.seconds),
                item.error.splitlines()[0] if item.error else None,
            ]
            for item in found
        ),
        empty="no executions",
    )


@execution.command()
@click.argument("execution_id", type=int)
@_json
@click.pass_obj
def show(deployment: Deployment, execution_id: int, as_json: bool) -> None:
    """Show one execution with its parameters and its result."""
    with deployment.database() as database:
        found = find(database, execution_id)
    if as_json:
        print_json(found.as_document())
        return
    print_details(
        [
            ("Execution", found.id),
            ("Action", found.action_ref),
            ("Status", status(found.status)),
            ("Worker", found.worker),
            ("Created", f"{found.created:%Y-%m-%d %H:%M:%S} UTC ({ago(found.created)})"),
            ("Started", f"{found.started_at:%Y-%m-%d %H:%M:%S} UTC" if found.started_at else None),
            ("Time", short(found.seconds)),
            ("Error", found.error),
            ("Parameters", _pretty(found.parameters)),
            ("Result", _pretty(found.result)),
        ]
    )


@execution.command()
@click.argument("execution_id", type=int)
@click.option("-f", "--follow", is_flag=True, help="Go on until the execution has ended.")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this stream; default both.")
@click.pass_obj
def logs(deployment: Deployment, execution_id: int, follow: bool, stream: str | None) -> int:
    """Print what an execution wrote: its stdout to stdout, its stderr to stderr."""
    streams = (stream,) if stream else ("stdout", "stderr")
    artifacts_dir = deployment.loaded.settings.artifacts_dir
    with deployment.database() as database:
        found = find(database, execution_id)
        watch = Watch(database, artifacts_dir, execution_id, streams=streams)
        if follow and not found.ended:
            with watch:
                found = wait(database, execution_id, on_change=watch.update, pause=0.25)
        else:
            watch.update(found)
    result = found.result if isinstance(found.result, dict) else {}
    if "stdout" in streams and not watch.has_shown("stdout") and result.get("stdout"):
        click.echo(result["stdout"], nl=False)
    elif not any(watch.has_shown(name) for name in streams) and sys.stderr.isatty():
        click.secho(f"nothing written yet, or not on this machine ({artifacts_dir})", dim=True, err=True)
    return 0


@execution.command()
@click.argument("execution_id", type=int)
@_json
@click.pass_obj
def cancel(deployment: Deployment, execution_id: int, as_json: bool) -> None:
    """End an execution: at once when it waits, else by asking its worker."""
    with deployment.database() as database, deployment.sender() as send:
        outcome = cancel_execution(database, send, execution_id)
    if as_json:
        print_json({"id": execution_id, "status": outcome})
    elif outcome == "cancelled":
        click.echo(f"execution {execution_id} is cancelled; it had not begun")
    else:
        click.echo(f"execution {execution_id} is being cancelled by its worker")


def _pretty(value: object) -> str | None:
    return None if value is None else json.dumps(value, indent=2, ensure_ascii=False)
