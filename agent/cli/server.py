"""``attune server``: the control side in one process."""

from __future__ import annotations

import os
import sys

import click

from agent.cli.deployment import Deployment
from agent.errors import UsageError
from agent.logs import configure_logging


@click.command()
@click.option("--only", metavar="PARTS", help="Run only these parts: api, dispatcher, rules, retention (commas).")
@click.option("--host", help="Address to listen on; default server.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; default server.port, 0 = any.")
@click.pass_obj
def server(deployment: Deployment, only: str | None, host: str | None, port: int | None) -> int:
    """Accept, place and follow executions: the HTTP API and the dispatcher.

    Needs a database only (ATTUNE__DATABASE__URL): an empty schema is migrated, and the database is the broker unless
    message_queue.url names another.
    """
    from agent.server.service import PARTS, run_server

    loaded = deployment.loaded
    level = loaded.settings.log.level
    configure_logging(level, loaded.settings.log.format, colour=sys.stderr.isatty() and "NO_COLOR" not in os.environ)
    parts = tuple(part.strip() for part in only.split(",") if part.strip()) if only is not None else ()
    unknown = [part for part in parts if part not in PARTS]
    if unknown or (only is not None and not parts):
        raise UsageError(
            f"--only: there is no part {unknown[0] if unknown else 'of that name'}; there are {', '.join(PARTS)}"
        )
    return run_server(loaded, only=parts, host=host, port=port, say=lambda line: click.echo(line, err=True))
