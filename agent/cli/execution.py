"""``attune execution``: list, show, read the logs of, cancel, explain and repeat executions, save what they left."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from agent.cli.artifact import FORCE, as_document, folder, saved_as, sentence, with_names
from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.progress import Watch
from agent.cli.tables import ago, print_details, print_json, print_table, short, size, status
from agent.cli.terminal_filter import harmless
from agent.errors import NotFound

STATUSES = (
    "requested", "scheduling", "scheduled", "running", "completed", "failed", "canceling", "cancelled", "timeout",
    "abandoned",
)  # fmt: skip
_LINE = 80
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def execution() -> None:
    """List, show and cancel executions, read their logs, save what they left."""


@execution.command("list")
@click.option(
    "-n",
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="Number of executions to show, newest first.",
)
@click.option("--status", "wanted", type=click.Choice(STATUSES), help="Show only executions with this status.")
@click.option("--action", metavar="REF", help="Show only executions of this action.", shell_complete=complete("action"))
@click.option("--before", type=int, metavar="ID", help="Go on below this one: the next page.")
@_json
@click.pass_obj
def list_executions(
    deployment: Deployment, limit: int, wanted: str | None, action: str | None, before: int | None, as_json: bool
) -> None:
    """List the newest executions."""
    with deployment.operations() as operations:
        found = operations.executions.recent(limit=limit, status=wanted, action_ref=action, before=before)
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
                cut(item.error),
            ]
            for item in found
        ),
        empty="no executions",
    )


@execution.command()
@click.argument("execution_id", type=click.IntRange(0, 2**63 - 1), shell_complete=complete("execution"))
@_json
@click.pass_obj
def show(deployment: Deployment, execution_id: int, as_json: bool) -> None:
    """Show one execution with its parameters and its result."""
    with deployment.operations() as operations:
        found = operations.executions.find(execution_id)
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
@click.argument("execution_id", type=click.IntRange(0, 2**63 - 1), shell_complete=complete("execution"))
@click.option("-f", "--follow", is_flag=True, help="Follow the output until the execution ends.")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Show only this stream (default: both).")
@click.pass_obj
def logs(deployment: Deployment, execution_id: int, follow: bool, stream: str | None) -> int:
    """Print what an execution wrote: its stdout to stdout, its stderr to stderr."""
    streams = (stream,) if stream else ("stdout", "stderr")
    with deployment.operations() as operations:
        found = operations.executions.find(execution_id)
        watch = Watch(execution_id)
        with watch:
            if follow and not found.ended:
                found = operations.executions.follow(execution_id, streams, watch.show, on_change=watch.described)
            else:
                for name in streams:
                    reader = operations.executions.output(execution_id, name)
                    for chunk in reader.read_rest() if found.ended else reader.read_live():
                        watch.show(name, chunk)
    result = found.result if isinstance(found.result, dict) else {}
    if "stdout" in streams and not watch.has_shown("stdout") and result.get("stdout"):
        text = str(result["stdout"])
        click.echo(harmless(text) if sys.stdout.isatty() else text, nl=False)
    elif not any(watch.has_shown(name) for name in streams) and sys.stderr.isatty():
        click.secho(f"no output yet, or its log is out of reach of {operations.place}", dim=True, err=True)
    return 0


@execution.command()
@click.argument("execution_id", type=click.IntRange(0, 2**63 - 1), shell_complete=complete("execution"))
@_json
@click.pass_obj
def cancel(deployment: Deployment, execution_id: int, as_json: bool) -> None:
    """End an execution: at once when it waits, else by asking its worker."""
    with deployment.operations() as operations:
        outcome = operations.executions.cancel(execution_id)
    if as_json:
        print_json({"id": execution_id, "status": outcome})
    elif outcome == "cancelled":
        click.echo(f"execution {execution_id} was cancelled before it started")
    else:
        click.echo(f"execution {execution_id} is being cancelled by its worker")


@execution.command()
@click.argument("execution_id", type=click.IntRange(0, 2**63 - 1), shell_complete=complete("execution"))
@_json
@click.pass_obj
def retry(deployment: Deployment, execution_id: int, as_json: bool) -> None:
    """Run the same again as a new execution; a running `attune server` places it."""
    with deployment.operations() as operations:
        made = operations.executions.retry(execution_id)
        waits = not operations.executions.dispatched()
    if as_json:
        print_json(made._asdict())
    else:
        click.echo(made.id)
    if waits:
        print("attune: no dispatcher runs: it waits until one does (attune server)", file=sys.stderr)


@execution.command()
@click.argument("execution_id", type=click.IntRange(0, 2**63 - 1), shell_complete=complete("execution"))
@_json
@click.pass_obj
def explain(deployment: Deployment, execution_id: int, as_json: bool) -> None:
    """Say why an execution waits: what keeps each worker from taking it."""
    with deployment.operations() as operations:
        found = operations.executions.explain(execution_id)
    if as_json:
        print_json(found)
        return
    click.echo(found.sentence)
    for line in found.reasons:
        click.echo(f"  {line}")


@execution.command()
@click.argument("execution_id", type=click.IntRange(0, 2**63 - 1), shell_complete=complete("execution"))
@_json
@click.pass_obj
def artifacts(deployment: Deployment, execution_id: int, as_json: bool) -> None:
    """List what an execution left: its logs, and the artifacts that its action made."""
    with deployment.operations() as operations:
        found = operations.artifacts.left_by(execution_id)
    if as_json:
        print_json(found)
        return
    print_table(
        ["ID", "REF", "VERSION", "TYPE", "SIZE", "CREATED"],
        (
            [one["id"], one["ref"], one["version"], one["type"], size(one["size_bytes"]), ago(one["created"])]
            for one in found
        ),
        empty="it left nothing",
    )


@execution.command()
@click.argument("execution_id", type=click.IntRange(0, 2**63 - 1), shell_complete=complete("execution"))
@click.option("-o", "--output", metavar="DIRECTORY", help="Where to save the files; default: execution_ID.")
@click.option("--only", metavar="REF", multiple=True, help="Save this artifact only; may be repeated.")
@FORCE
@_json
@click.pass_obj
def download(
    deployment: Deployment, execution_id: int, output: str | None, only: tuple[str, ...], force: bool, as_json: bool
) -> None:
    """Save everything that an execution left; what broke off goes on where it ended."""
    documents = []
    with deployment.operations() as operations:
        left = operations.artifacts.left_by(execution_id)
        if missing := set(only) - {one["ref"] for one in left}:
            raise NotFound(f"execution {execution_id} left no artifact {min(missing)}")
        place = Path(output or f"execution_{execution_id}")
        for one, name in with_names([one for one in left if not only or one["ref"] in only]):
            saved = saved_as(operations.artifacts, one["id"], one["version"], folder(place) / name, force=force)
            documents.append({"ref": one["ref"], "version": one["version"], **as_document(saved)})
            if not as_json:
                click.echo(sentence(saved))
    if as_json:
        print_json(documents)
    elif not documents:
        click.echo("it left nothing")


def cut(text: str | None) -> str | None:
    """Keep a list's line short: the first line of an error, and not all of a long one."""
    line = text.splitlines()[0] if text else None
    return line if line is None or len(line) <= _LINE else line[: _LINE - 1] + "…"


def _pretty(value: object) -> str | None:
    return None if value is None else json.dumps(value, indent=2, ensure_ascii=False)
