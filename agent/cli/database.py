"""``attune db``: the schema that everything else stands on."""

from __future__ import annotations

import click

from agent.cli.deployment import Deployment
from agent.cli.tables import print_json, short
from agent.db.migrations import Part, apply_migrations, status
from agent.errors import UsageError
from agent.paths import shipped


@click.group()
def database() -> None:
    """Prepare the database."""


@database.command()
@click.option("--queue", "queue_only", is_flag=True, help="Add only the tables of the PostgreSQL broker.")
@click.option("--server", "server_only", is_flag=True, help="Add only the tables of `attune server`, to any database.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def migrate(deployment: Deployment, queue_only: bool, server_only: bool, as_json: bool) -> None:
    """Apply the migrations that are missing; safe to repeat, and to run twice at once.

    A database that another implementation of Attune made is left as it is, unless --queue or --server asks for
    tables that stand beside its own.
    """
    if queue_only and server_only:
        raise UsageError("--queue and --server are two runs", hint="run the command once with each")
    only: Part | None = "queue" if queue_only else "server" if server_only else None
    directory = shipped("migrations")
    with deployment.database() as opened:
        before = status(opened, directory)
        applied = apply_migrations(opened, directory, only=only)
        if as_json:
            print_json({"origin": before.origin, "applied": applied, "schema": opened.address.schema})
            return
        for migration in applied:
            click.echo(f"applied {migration.name} ({short(migration.seconds)})")
        place = f"schema {opened.address.schema} on {opened.address.label}"
        if applied:
            click.echo(f"{len(applied)} migrations applied: {place} is up to date")
        elif before.origin == "reference" and only is None:
            click.echo(f"{place} was made by another implementation of Attune: nothing was changed")
            click.echo("(attune db migrate --queue adds the tables of the PostgreSQL broker, --server those of")
            click.echo(" attune server, and only those)")
        else:
            click.echo(f"{place} was up to date already")
