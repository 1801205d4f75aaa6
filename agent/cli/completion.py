"""Complete references and ids in a shell; a database or an API that is away completes nothing."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from agent.cli.api_choice import chosen_api
from agent.cli.deployment import Deployment
from agent.errors import AgentError
from agent.operations.interface import Operations

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
    "artifact": "SELECT DISTINCT ref, type::text FROM artifact WHERE starts_with(ref, %s) ORDER BY ref LIMIT %s",
    "rule": "SELECT ref, label FROM rule WHERE starts_with(ref, %s) ORDER BY ref LIMIT %s",
    "trigger": "SELECT ref, label FROM trigger WHERE starts_with(ref, %s) ORDER BY ref LIMIT %s",
    "sensor": "SELECT ref, label FROM sensor WHERE starts_with(ref, %s) ORDER BY ref LIMIT %s",
    "login": "SELECT login, display_name FROM identity WHERE starts_with(login, %s) ORDER BY login LIMIT %s",
}

#: The same over the API: value and help of each.
_LISTS: dict[str, Callable[[Operations], list[tuple[str, str]]]] = {
    "action": lambda on: [(one["ref"], one["label"] or "") for one in on.catalog.actions()],
    "pack": lambda on: [(one.ref, one.label) for one in on.catalog.packs()],
    "key": lambda on: [(one["ref"], one["name"]) for one in on.keys.all()],
    "worker": lambda on: [(one.name, one.status) for one in on.workers.find()],
    "runtime": lambda on: [(one.ref, one.name) for one in on.runtimes.all()],
    "execution": lambda on: [
        (str(one.id), f"{one.action_ref}, {one.status}") for one in on.executions.recent(limit=_MOST)
    ],
    "artifact": lambda on: [(one["ref"], one["type"]) for one in on.artifacts.newest(limit=_MOST)],
    "rule": lambda on: [(one["ref"], one["label"]) for one in on.events.rules()],
    "trigger": lambda on: [(one["ref"], one["label"]) for one in on.events.triggers()],
    "sensor": lambda on: [(one["ref"], one["label"]) for one in on.events.sensors()],
    "login": lambda on: [(one.login, one.display_name or "") for one in on.accounts.all()],
}


def complete(kind: str) -> Completer:
    """Return the completion of one kind of reference."""

    def completer(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        root = ctx.find_root()
        deployment = Deployment(
            root.params.get("config"), api=root.params.get("api"), database_only=bool(root.params.get("database_only"))
        )
        try:
            if chosen_api(deployment.api, database_only=deployment.database_only) is not None:
                with deployment.operations() as operations:
                    found = [one for one in _LISTS[kind](operations) if one[0].startswith(incomplete)]
                return [CompletionItem(value, help=text or None) for value, text in found[:_MOST]]
            with deployment.database() as database, database.connection() as connection:
                rows = connection.execute(_STATEMENTS[kind].encode(), [incomplete, _MOST]).fetchall()
        except AgentError:
            return []
        return [CompletionItem(str(value), help=str(text) if text else None) for value, text in rows]

    return completer
