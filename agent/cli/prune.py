"""``attune prune``: delete what is old now, or say what would go."""

from __future__ import annotations

import contextlib

import click

from agent.cli.deployment import Deployment
from agent.cli.tables import print_json, print_table
from agent.retention.pruning import Pruning


@click.command()
@click.option("--dry-run", is_flag=True, help="Change nothing; say how much would go.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def prune(deployment: Deployment, dry_run: bool, as_json: bool) -> None:
    """Delete executions, events, history, audit and artifacts that retention.* and their policies no longer keep.

    `attune server` does the same at every retention.interval; both may run at once. Files are removed below
    artifacts_dir of this machine.
    """
    settings = deployment.loaded.settings
    with deployment.database() as database, contextlib.closing(Pruning.connect(database)) as connection:
        pruning = Pruning(settings)
        found = pruning.look(connection) if dry_run else pruning.run_once(connection)
    if as_json:
        print_json({"dry_run": dry_run, "pruned": dict(found)})
        return
    word = "WOULD GO" if dry_run else "GONE"
    print_table(
        ["WHAT", word], ([kind.replace("_", " "), number] for kind, number in found.items() if number),
        empty="nothing is old enough",
    )  # fmt: skip
