"""``attune run``: run one action somewhere, show what it writes, end as it ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.edge import INTERRUPTED, complain
from agent.cli.progress import Watch
from agent.cli.tables import print_json, short
from agent.cli.terminal_filter import harmless
from agent.control.executions import ExecutionSummary
from agent.control.parameter_values import read_parameters
from agent.control.submission import Submitted
from agent.errors import UsageError
from agent.operations.interface import Executions


@click.command()
@click.argument("action_ref", shell_complete=complete("action"))
@click.option(
    "-p", "--param", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter; repeat the option for more."
)
@click.option("--params", "document", metavar="JSON", help="A JSON object, @FILE that holds one, or - for stdin.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Cancel the execution after S seconds."
)
@click.option("--no-wait", is_flag=True, help="Print the execution's id and don't wait.")
@click.option("--json", "as_json", is_flag=True, help="Print the execution as JSON.")
@click.pass_obj
def run(
    deployment: Deployment,
    action_ref: str,
    pairs: tuple[str, ...],
    document: str | None,
    timeout: float | None,
    no_wait: bool,
    as_json: bool,
) -> int:
    """Run an action, such as examples.hello_python, and print its output.

    Exits 0 when it completed and 1 when it did not.
    """
    with deployment.operations() as operations:
        executions = operations.executions
        parameters = read_parameters(pairs, _document(document), executions.parameters_of(action_ref))
        submitted = executions.submit(action_ref, parameters)
        if submitted.behind and sys.stderr.isatty():
            click.secho(
                f"all workers that fit are full: it waits behind {submitted.behind} on {submitted.worker}", err=True
            )
        if no_wait:
            _print_submitted(submitted, as_json=as_json)
            return 0
        watch = Watch(submitted.id, silent=as_json)
        try:
            with watch:
                execution = executions.follow(
                    submitted.id,
                    () if as_json else ("stdout", "stderr"),
                    watch.show,
                    timeout=timeout,
                    on_change=watch.described,
                )
        except KeyboardInterrupt:
            print(f"\nattune: execution {submitted.id} goes on; to end it:", file=sys.stderr)
            print(f"  attune execution cancel {submitted.id}", file=sys.stderr)
            return INTERRUPTED
        if not execution.ended:
            return _give_up(executions, execution, timeout, as_json=as_json)
    return _report(execution, watch, as_json=as_json)


def _document(text: str | None) -> str | None:
    """Read --params: JSON itself, @FILE, or - for standard input."""
    if text == "-":
        return sys.stdin.read()
    if text is None or not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"--params {text}: {reason}") from error


def _print_submitted(submitted: Submitted, *, as_json: bool) -> None:
    if as_json:
        print_json(submitted)
    else:
        click.echo(submitted.id)


def _give_up(executions: Executions, execution: ExecutionSummary, timeout: float | None, *, as_json: bool) -> int:
    outcome = executions.cancel(execution.id)
    if as_json:
        print_json({**execution.as_document(), "status": outcome})
    word = "cancelled" if outcome == "cancelled" else "a request to cancel it was sent to its worker"
    print(f"attune: execution {execution.id} did not end within {timeout:g} s: {word}", file=sys.stderr)
    return 1


def _report(execution: ExecutionSummary, watch: Watch, *, as_json: bool) -> int:
    if as_json:
        print_json(execution.as_document())
        return 0 if execution.status == "completed" else 1
    if not watch.has_shown("stdout"):
        _print_result(execution)
    if execution.status == "completed":
        if sys.stderr.isatty():
            click.secho(
                f"✓ completed in {short(execution.seconds)} on {execution.worker} (execution {execution.id})",
                fg="green",
                err=True,
            )
        return 0
    # What the action wrote to stderr is on the screen already; its last line need not come again.
    reason = _exit_code(execution) if watch.has_shown("stderr") else execution.error
    line = f"execution {execution.id} on {execution.worker} {ending(execution.status)}"
    complain("attune", f"{line}: {reason.strip()}" if reason else line)
    return 1


def _exit_code(execution: ExecutionSummary) -> str | None:
    result = execution.result if isinstance(execution.result, dict) else {}
    code = result.get("exit_code")
    return f"exit code {code}" if isinstance(code, int) and code > 0 else execution.error


def ending(status: str) -> str:
    """Put a final status into a sentence."""
    return {"cancelled": "was cancelled", "abandoned": "was abandoned", "timeout": "timed out"}.get(status, status)


def _print_result(execution: ExecutionSummary) -> None:
    """The logs are on a volume that this machine doesn't see: what the row holds must do."""
    result = execution.result if isinstance(execution.result, dict) else {}
    if "data" in result:
        data = result["data"]
        click.echo(shown(data if isinstance(data, str) else json.dumps(data, indent=2, ensure_ascii=False)))
    elif result.get("stdout"):
        click.echo(shown(str(result["stdout"])), nl=not str(result["stdout"]).endswith("\n"))


def shown(text: str) -> str:
    """Return what an action wrote as standard output may show it: whole in a pipe, harmless on a terminal."""
    return harmless(text) if sys.stdout.isatty() else text
