"""``attune settings``: every setting, its value and where the value came from; secrets stay hidden."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.text import Text

from agent.cli.deployment import Deployment
from agent.cli.settings_page import settings_page
from agent.cli.tables import make_table, plain, print_json, show
from agent.configuration.settings_table import Field, fields, value_of
from agent.logs import MASK, mask_url


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--changed", is_flag=True, help="Show only settings that differ from their default.")
@click.option("--page", is_flag=True, hidden=True, help="Print the reference page.")
@click.pass_obj
def settings(deployment: Deployment, as_json: bool, changed: bool, page: bool) -> None:
    """Show every setting, its value and where it came from."""
    if page:
        click.echo(settings_page(), nl=False)
        return
    loaded = deployment.loaded
    entries = [
        (field, shown(field, value_of(loaded.settings, key)), loaded.sources[key])
        for key, field in fields().items()
        if not (changed and loaded.sources[key].startswith("default"))
    ]
    if as_json:
        print_json([_document(field, value, source) for field, value, source in entries])
        return
    if loaded.files:
        click.echo("read: " + ", ".join(map(str, loaded.files)) + "\n")
    show(
        make_table(
            ["SETTING", "VALUE", "FROM"],
            (
                [field.key, plain(value), Text(source, style="dim" if source.startswith("default") else "cyan")]
                for field, value, source in entries
            ),
        )
    )


def shown(field: Field, value: Any) -> Any:
    """Return the value as it may be shown: secrets and the passwords in URLs masked."""
    if value is None:
        return None
    if field.secret:
        return MASK
    return mask_url(value) if isinstance(value, str) else value


def _document(field: Field, value: Any, source: str) -> dict[str, Any]:
    plain_value = json.loads(json.dumps(value, default=str))
    return {"key": field.key, "value": plain_value, "source": source, "variable": field.variable, "doc": field.doc}
