"""Permission sets, and who has them."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from psycopg.types.json import Jsonb

from agent.packs.permissions import grant_problem
from agent.server.call import Answer, Call, data, deleted, one, rows
from agent.server.delegation import pass_on
from agent.server.problems import Problem
from agent.server.resources.identities import RoleBody
from agent.server.route import ACCESS, Route
from agent.server.shapes import Id, Label, Ref, Text

_PACKAGE = "agent.server"


class SetsQuery(Struct):
    """Whose permission sets."""

    pack_ref: Ref | None = None


class SetChange(Struct):
    """What is to be different in a permission set."""

    label: Label | None = None
    description: Text | None = None
    grants: list[dict[str, Any]] | None = None


class NewAssignment(Struct):
    """Which account gets which permission set."""

    permission_set_ref: Ref
    identity_id: Id | None = None
    identity_login: Label | None = None


def permissions(call: Call) -> Answer:
    """List the permission sets of an account."""
    with call.connection() as connection:
        missing = f"there is no identity {call.path['id']}"
        one(connection, _PACKAGE, "identity", {"id": call.path["id"]}, missing=missing)
        return Answer(rows(connection, _PACKAGE, "identity_permissions", {"id": call.path["id"]}))


def sets(call: Call) -> Answer:
    """List permission sets."""
    with call.connection() as connection:
        values = {"pack_ref": call.query.pack_ref, "id": None}
        return Answer(rows(connection, _PACKAGE, "permission_sets", values))


def change_set(call: Call) -> Answer:
    """Change a permission set; a pack that is registered again puts its own back."""
    body: SetChange = call.body
    for number, grant in enumerate(body.grants or ()):
        problem = grant_problem(grant)
        if problem:
            raise Problem.invalid(f"grant {number + 1} {problem}")
    with call.connection() as connection:
        pass_on(call, body.grants or [])
        grants = None if body.grants is None else Jsonb(body.grants)
        values = {"id": call.path["id"], "label": body.label, "description": body.description, "grants": grants}
        one(connection, _PACKAGE, "update_permission_set", values, missing="there is no such permission set")
        return data(one(connection, _PACKAGE, "permission_sets", {"pack_ref": None, "id": call.path["id"]}))


def add_set_role(call: Call) -> Answer:
    """Let everybody with a role have a permission set."""
    with call.connection() as connection:
        values = {"pack_ref": None, "id": call.path["id"]}
        found = one(connection, _PACKAGE, "permission_sets", values, missing="there is no such permission set")
        pass_on(call, found["grants"])
        made = one(connection, _PACKAGE, "add_set_role", {"id": call.path["id"], "role": call.body.role})
    return data(made, status=201)


def remove_set_role(call: Call) -> Answer:
    """Take a permission set away from a role."""
    with call.connection() as connection:
        values = {"id": call.path["id"]}
        one(connection, _PACKAGE, "remove_set_role", values, missing="there is no such role assignment")
    return deleted("Role removed")


def assign(call: Call) -> Answer:
    """Give an account a permission set; nobody gives more than he has."""
    body: NewAssignment = call.body
    if body.identity_id is None and body.identity_login is None:
        raise Problem.invalid("say whom: identity_id or identity_login")
    with call.connection() as connection:
        found = [
            one for one in rows(connection, _PACKAGE, "permission_sets", {"pack_ref": None, "id": None})
            if one["ref"] == body.permission_set_ref
        ]  # fmt: skip
        if not found:
            raise Problem.not_found(f"there is no permission set {body.permission_set_ref}")
        pass_on(call, found[0]["grants"])
        values = {"ref": body.permission_set_ref, "id": body.identity_id, "login": body.identity_login}
        made = one(connection, _PACKAGE, "add_assignment", values, missing="there is no such identity")
    return data(made, status=201)


def unassign(call: Call) -> Answer:
    """Take a permission set away from an account."""
    with call.connection() as connection:
        values = {"id": call.path["id"]}
        one(connection, _PACKAGE, "remove_assignment", values, missing="there is no such assignment")
    return deleted("Permission assignment removed")


_READ, _MANAGE = ("permissions", "read"), ("permissions", "manage")
_SETS = "/api/v1/permissions/sets"
ROUTES = (
    Route(
        "GET",
        "/api/v1/identities/{id}/permissions",
        permissions,
        "Its permission sets",
        ACCESS,
        _READ,
        answer=list,
        bare=True,
        errors=(404,),
        tag="identities",
    ),
    Route(
        "GET",
        _SETS,
        sets,
        "List permission sets",
        ACCESS,
        _READ,
        query=SetsQuery,
        answer=list,
        bare=True,
        tag="permissions",
    ),
    Route(
        "PUT",
        f"{_SETS}/{{id}}",
        change_set,
        "Change a permission set",
        ACCESS,
        _MANAGE,
        body=SetChange,
        answer=dict,
        errors=(404,),
        tag="permissions",
    ),
    Route(
        "POST",
        f"{_SETS}/{{id}}/roles",
        add_set_role,
        "Give it to a role",
        ACCESS,
        _MANAGE,
        body=RoleBody,
        answer=dict,
        status=201,
        errors=(404, 409),
        tag="permissions",
    ),
    Route(
        "DELETE",
        f"{_SETS}/roles/{{id}}",
        remove_set_role,
        "Take it from a role",
        ACCESS,
        _MANAGE,
        answer=dict,
        bare=True,
        errors=(404,),
        tag="permissions",
    ),
    Route(
        "POST",
        "/api/v1/permissions/assignments",
        assign,
        "Give a permission set",
        ACCESS,
        _MANAGE,
        body=NewAssignment,
        answer=dict,
        status=201,
        errors=(404, 409),
        tag="permissions",
    ),
    Route(
        "DELETE",
        "/api/v1/permissions/assignments/{id}",
        unassign,
        "Take a permission set away",
        ACCESS,
        _MANAGE,
        answer=dict,
        bare=True,
        errors=(404,),
        tag="permissions",
    ),
)
