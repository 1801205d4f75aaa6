"""Reads one file of ``permission_sets/``: which actions on which resources a set grants."""

from __future__ import annotations

from typing import Any

from agent.packs.mapping_reader import MappingReader
from agent.packs.model import PermissionSet
from agent.packs.scope import Scope

RESOURCES = [
    "packs",
    "actions",
    "queues",
    "rules",
    "triggers",
    "executions",
    "events",
    "enforcements",
    "inquiries",
    "keys",
    "artifacts",
    "runtimes",
    "workers",
    "retention",
    "identities",
    "permissions",
    "audit_log",
]
ACTIONS = [
    "read",
    "create",
    "install",
    "configure",
    "update",
    "delete",
    "execute",
    "cancel",
    "respond",
    "manage",
    "decrypt",
]
_CONSTRAINTS = [
    "pack_refs",
    "owner",
    "owner_types",
    "owner_refs",
    "visibility",
    "execution_scope",
    "refs",
    "ids",
    "encrypted",
    "attributes",
]


def read_permission_set(fields: MappingReader, scope: Scope) -> PermissionSet:
    """Read a permission set; a resource, action or constraint that nobody knows would grant nothing: it is refused."""
    ref = scope.component_ref(fields)
    fields.ignore("name", "tags", "notes", "documentation", "pack_ref")
    found = fields.find("grants")
    value = fields.document.value(found[1], "grants") if found else None
    if not isinstance(value, list):
        fields.complain("grants", "must be a list of grants")
        value = []
    grants = [grant for grant in value if isinstance(grant, dict)]
    for number, grant in enumerate(value):
        problem = grant_problem(grant)
        if problem:
            fields.complain("grants", f"number {number + 1} {problem}")
    permission_set = PermissionSet(
        ref=ref,
        label=fields.text("label") or ref.rpartition(".")[2].capitalize(),
        source=fields.document.file,
        description=fields.text("description"),
        grants=tuple(grants),
    )
    fields.finish()
    return permission_set


def grant_problem(grant: Any) -> str | None:
    """Say what is wrong with one grant, None when nothing is."""
    if not isinstance(grant, dict):
        return "must be a mapping with resource and actions"
    if grant.get("resource") not in RESOURCES:
        return f"has the resource {grant.get('resource')!r}; known are {', '.join(RESOURCES)}"
    actions = grant.get("actions")
    if not isinstance(actions, list) or not actions:
        return "must list its actions"
    wrong = [action for action in actions if action not in ACTIONS]
    if wrong:
        return f"has the action {wrong[0]!r}; known are {', '.join(ACTIONS)}"
    constraints = grant.get("constraints") or {}
    if not isinstance(constraints, dict):
        return "has constraints that are not a mapping"
    strange = sorted(set(constraints) - set(_CONSTRAINTS))
    return f"has the constraint {strange[0]!r}; known are {', '.join(_CONSTRAINTS)}" if strange else None
