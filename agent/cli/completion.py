"""Complete references and ids in a shell; a database that is away completes nothing."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from agent.cli.deployment import Deployment
from agent.errors import AgentError

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_MOST = 100
_STATEMENTS = {
    "action": "SELECT ref, label FROM action WHERE starts_with(ref, %s) ORDER BY ref LIMIT %s",
    "pack": "SELECT ref, label FROM pack WHERE starts_with(ref, %s) ORDER BY ref LIMIT %s",
    "key": "SELECT ref, name FROM key WHERE starts_with(ref, %s) ORDER BY ref LIMIT %s",
    "worker": "SELECT name, status::text FROM worker WHERE starts_with(name, %s) ORDER BY name LIMIT %s",
    "runtime": "SELECT ref, name FROM runtime WHERE starts_with(ref, %s) ORDER BY ref LIMIT %s",
    "execution": "SELECT id::text, action_ref || ', ' || status::text FROM execution"
    " WHERE starts_with(id::text, %s) ORDER BY id DESC LIMIT %s",
    "login": "SELECT login, display_name FROM identity WHERE starts_with(login, %s) ORDER BY login LIMIT %s",
}


def complete(kind: str) -> Completer:
    """Return the completion of one kind of reference."""

    def completer(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        root = ctx.find_root()
        deployment = Deployment(root.params.get("config"))
        try:
            with deployment.database() as database, database.connection() as connection:
                rows = connection.execute(_STATEMENTS[kind].encode(), [incomplete, _MOST]).fetchall()
        except AgentError:
            return []
        return [CompletionItem(str(value), help=str(text) if text else None) for value, text in rows]

    return completer
