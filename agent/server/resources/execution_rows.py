"""An execution's row as the API shows it, and what permissions ask about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.db.pool import Connection
from agent.server.call import Call, rows

_PACKAGE = "agent.server"
_OPTIONAL = (
    "permission_set_refs",
    "artifact_retention_policy",
    "artifact_retention_limit",
    "worker_selector",
    "worker_tolerations",
    "worker_affinity",
    "original_execution",
    "started_at",
    "workflow_task",
)


def facts_of(call: Call, connection: Connection, row: Mapping[str, Any]) -> dict[str, Any]:
    """What constraints may ask about an execution; whether it is the caller's own is looked up only for an action."""
    facts = {"id": row["id"], "ref": row["action_ref"], "pack_ref": row["pack_ref"], "execution_scope": "any"}
    facts["owner"] = "none" if row["executor"] is None else "any"
    if call.caller.kind == "access" and row["executor"] == call.caller.identity_id:
        facts["owner"] = facts["execution_scope"] = "self"
    own = call.caller.execution_id
    if own is not None:
        values = {"id": row["id"], "ancestor": own}
        if row["id"] == own:
            facts["execution_scope"] = "self"
        elif rows(connection, _PACKAGE, "execution_ancestry", values):
            facts["execution_scope"] = "descendants"
    return facts


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """One execution, without what it has not."""
    found = {key: value for key, value in row.items() if key != "pack_ref"}
    return {key: value for key, value in found.items() if not (key in _OPTIONAL and not value)}


def short(row: Mapping[str, Any]) -> dict[str, Any]:
    """One line of a list."""
    return {key: value for key, value in row.items() if value is not None or key not in _OPTIONAL}


def absent(call: Call) -> str:
    """The sentence for an id that nobody has."""
    return f"there is no execution {call.path['id']}"
