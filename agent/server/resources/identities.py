"""Accounts, what they may do, and the tokens of programs."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from agent.access.grants import missing, read_grants
from agent.access.identities import create_identity
from agent.access.passwords import hash_password
from agent.access.tokens import INTEGRATION_PREFIX, hashed
from agent.db.queries import load_queries
from agent.packs.permissions import grant_problem
from agent.server.call import Answer, Call, data, deleted, one, page, rows
from agent.server.problems import Problem
from agent.server.route import ACCESS, Route
from agent.server.shapes import Id, Label, NewLogin, Paging, Password, Ref, Text

_PACKAGE = "agent.server"


class NewIdentity(Struct):
    """An account; without a password nobody logs in to it."""

    login: NewLogin
    password: Password | None = None
    display_name: Annotated[str, Meta(max_length=255)] | None = None
    attributes: dict[str, Any] = {}


class IdentityChange(Struct):
    """What is to be different."""

    display_name: Annotated[str, Meta(max_length=255)] | None = None
    password: Password | None = None
    attributes: dict[str, Any] | None = None


class RoleBody(Struct):
    """A role."""

    role: Label


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


class NewToken(Struct):
    """What a program's token is for."""

    label: Label
    description: Text | None = None
    expires_at: datetime | None = None


class RevokeBody(Struct):
    """Why."""

    reason: Text | None = None


def list_all(call: Call) -> Answer:
    """List accounts by login."""
    with call.connection() as connection:
        found = rows(connection, _PACKAGE, "list_identities", call.query.window())
        total = one(connection, _PACKAGE, "count_identities")["total"]
    return page(found[: call.query.size], number=call.query.page, size=call.query.page_size, total=total)


def show(call: Call) -> Answer:
    """Show an account with its roles and permission sets."""
    with call.connection() as connection:
        return data(_identity(call, connection))


def create(call: Call) -> Answer:
    """Make an account."""
    body: NewIdentity = call.body
    with call.connection() as connection:
        made = create_identity(
            connection,
            body.login,
            password=body.password,
            display_name=body.display_name,
            attributes=body.attributes,
        )
        found = one(connection, _PACKAGE, "identity", {"id": made})
    return data(found, message="Identity created successfully", status=201, Location=f"/api/v1/identities/{made}")


def update(call: Call) -> Answer:
    """Change an account; a new password ends its log-ins."""
    body: IdentityChange = call.body
    values = {
        "id": call.path["id"],
        "display_name": body.display_name,
        "hash": None if body.password is None else hash_password(body.password),
        "attributes": None if body.attributes is None else Jsonb(body.attributes),
    }
    with call.connection() as connection:
        one(connection, _PACKAGE, "update_identity", values, missing=_absent(call))
        if body.password is not None:
            _end_logins(connection, call.path["id"])
        return data(_identity(call, connection), message="Identity updated successfully")


def delete(call: Call) -> Answer:
    """Delete an account, never one's own."""
    if call.path["id"] == call.caller.identity_id:
        raise Problem.bad("you can't delete your own identity")
    with call.connection() as connection:
        one(connection, _PACKAGE, "delete_identity", {"id": call.path["id"]}, missing=_absent(call))
    return deleted("Identity deleted successfully")


def freeze(call: Call) -> Answer:
    """Let an account do nothing more; its tokens end at once."""
    if call.path["id"] == call.caller.identity_id:
        raise Problem.bad("you can't freeze your own identity")
    return _freeze(call, frozen=True)


def unfreeze(call: Call) -> Answer:
    """Let an account log in again."""
    return _freeze(call, frozen=False)


def permissions(call: Call) -> Answer:
    """List the permission sets of an account."""
    with call.connection() as connection:
        _identity(call, connection)
        return Answer(rows(connection, _PACKAGE, "identity_permissions", {"id": call.path["id"]}))


def add_role(call: Call) -> Answer:
    """Give an account a role."""
    with call.connection() as connection:
        _identity(call, connection)
        _may_give(call, connection, role=call.body.role)
        found = one(connection, _PACKAGE, "add_role", {"id": call.path["id"], "role": call.body.role})
    return data(found, status=201)


def remove_role(call: Call) -> Answer:
    """Take a role away."""
    with call.connection() as connection:
        one(connection, _PACKAGE, "remove_role", {"id": call.path["id"]}, missing="there is no such role assignment")
    return deleted("Role removed")


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
        _delegable(call, body.grants or [])
        grants = None if body.grants is None else Jsonb(body.grants)
        values = {"id": call.path["id"], "label": body.label, "description": body.description, "grants": grants}
        one(connection, _PACKAGE, "update_permission_set", values, missing="there is no such permission set")
        return data(one(connection, _PACKAGE, "permission_sets", {"pack_ref": None, "id": call.path["id"]}))


def add_set_role(call: Call) -> Answer:
    """Let everybody with a role have a permission set."""
    with call.connection() as connection:
        values = {"pack_ref": None, "id": call.path["id"]}
        found = one(connection, _PACKAGE, "permission_sets", values, missing="there is no such permission set")
        _delegable(call, found["grants"])
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
        _delegable(call, found[0]["grants"])
        values = {"ref": body.permission_set_ref, "id": body.identity_id, "login": body.identity_login}
        made = one(connection, _PACKAGE, "add_assignment", values, missing="there is no such identity")
    return data(made, status=201)


def unassign(call: Call) -> Answer:
    """Take a permission set away from an account."""
    with call.connection() as connection:
        values = {"id": call.path["id"]}
        one(connection, _PACKAGE, "remove_assignment", values, missing="there is no such assignment")
    return deleted("Permission assignment removed")


def tokens(call: Call) -> Answer:
    """List the tokens of an account, without themselves."""
    identity = _mine_or(call, "read")
    with call.connection() as connection:
        one(connection, _PACKAGE, "identity", {"id": identity}, missing=_absent(call))
        return data(rows(connection, _PACKAGE, "integration_tokens", {"identity": identity, "id": None}))


def add_token(call: Call) -> Answer:
    """Make a token for a program; it is shown this once."""
    identity = _mine_or(call, "update")
    body: NewToken = call.body
    if not body.label.strip():
        raise Problem.invalid("label must not be blank")
    token = INTEGRATION_PREFIX + secrets.token_urlsafe(32)
    values = {
        "identity": identity,
        "label": body.label,
        "description": body.description,
        "hash": hashed(token),
        "prefix": token[:14],
        "suffix": token[-4:],
        "by": call.caller.identity_id,
        "expires_at": body.expires_at,
    }
    with call.connection() as connection:
        one(connection, _PACKAGE, "identity", {"id": identity}, missing=_absent(call))
        made = one(connection, _PACKAGE, "add_integration_token", values)
        found = one(connection, _PACKAGE, "integration_tokens", {"identity": identity, "id": made["id"]})
    return data({"token": token, "integration_token": found}, status=201)


def delete_token(call: Call) -> Answer:
    """Delete a token, and the log-ins that came from it."""
    identity = _mine_or(call, "update")
    with call.connection() as connection:
        values = {"id": call.path["token_id"], "identity": identity}
        one(connection, _PACKAGE, "delete_integration_token", values, missing="there is no such token")
    return deleted("Integration token deleted")


def revoke_token(call: Call) -> Answer:
    """Let a token do nothing more, and keep its row."""
    identity = _mine_or(call, "update")
    reason = call.body.reason if call.body else None
    with call.connection() as connection:
        values = {"id": call.path["token_id"], "identity": identity, "by": call.caller.identity_id, "reason": reason}
        one(connection, _PACKAGE, "revoke_integration_token", values, missing="there is no such token that is active")
        found = one(connection, _PACKAGE, "integration_tokens", {"identity": identity, "id": values["id"]})
    return data(found)


def _identity(call: Call, connection: Any) -> dict[str, Any]:
    return one(connection, _PACKAGE, "identity", {"id": call.path["id"]}, missing=_absent(call))


def _freeze(call: Call, *, frozen: bool) -> Answer:
    with call.connection() as connection:
        values = {"id": call.path["id"], "frozen": frozen}
        one(connection, _PACKAGE, "freeze", values, missing=_absent(call))
        if frozen:
            _end_logins(connection, call.path["id"])
        return data(_identity(call, connection))


def _end_logins(connection: Any, identity: int) -> None:
    connection.execute(load_queries("agent.access")["revoke_identity"].encode(), {"identity": identity})


def _mine_or(call: Call, action: str) -> int:
    """One's own tokens are one's own affair; those of others need a permission."""
    if call.path["id"] != call.caller.identity_id:
        call.caller.require("identities", action, {"id": call.path["id"]})
    return int(call.path["id"])


def _delegable(call: Call, grants: list[dict[str, Any]]) -> None:
    lacking = missing(call.caller.grants, read_grants([grants]))
    if lacking:
        raise Problem(403, "FORBIDDEN", f"you can't pass on what you don't hold: {', '.join(lacking[:5])}")


def _may_give(call: Call, connection: Any, *, role: str) -> None:
    """A role passes on the permission sets that it has."""
    for found in rows(connection, _PACKAGE, "permission_sets", {"pack_ref": None, "id": None}):
        if any(entry["role"] == role for entry in found["roles"]):
            _delegable(call, found["grants"])


def _absent(call: Call) -> str:
    return f"there is no identity {call.path['id']}"


_READ, _UPDATE, _MANAGE = ("identities", "read"), ("identities", "update"), ("permissions", "manage")
_ALL, _ONE = "/api/v1/identities", "/api/v1/identities/{id}"
_SETS, _TOKENS = "/api/v1/permissions/sets", "/api/v1/identities/{id}/integration-tokens"
ROUTES = (
    Route(
        "GET", _ALL, list_all, "List accounts", ACCESS, _READ, query=Paging, listed=True, answer=dict, tag="identities"
    ),
    Route(
        "POST",
        _ALL,
        create,
        "Make an account",
        ACCESS,
        ("identities", "create"),
        body=NewIdentity,
        answer=dict,
        status=201,
        errors=(409, 503),
        tag="identities",
    ),
    Route("GET", _ONE, show, "Show an account", ACCESS, _READ, answer=dict, errors=(404,), tag="identities"),
    Route(
        "PUT",
        _ONE,
        update,
        "Change an account",
        ACCESS,
        _UPDATE,
        body=IdentityChange,
        answer=dict,
        errors=(404, 503),
        tag="identities",
    ),
    Route(
        "DELETE",
        _ONE,
        delete,
        "Delete an account",
        ACCESS,
        ("identities", "delete"),
        answer=dict,
        bare=True,
        errors=(404,),
        tag="identities",
    ),
    Route(
        "POST",
        f"{_ONE}/freeze",
        freeze,
        "Freeze an account",
        ACCESS,
        _UPDATE,
        answer=dict,
        errors=(404,),
        tag="identities",
    ),
    Route(
        "POST",
        f"{_ONE}/unfreeze",
        unfreeze,
        "Unfreeze an account",
        ACCESS,
        _UPDATE,
        answer=dict,
        errors=(404,),
        tag="identities",
    ),
    Route(
        "GET",
        f"{_ONE}/permissions",
        permissions,
        "Its permission sets",
        ACCESS,
        ("permissions", "read"),
        answer=list,
        bare=True,
        errors=(404,),
        tag="identities",
    ),
    Route(
        "POST",
        f"{_ONE}/roles",
        add_role,
        "Give it a role",
        ACCESS,
        _MANAGE,
        body=RoleBody,
        answer=dict,
        status=201,
        errors=(404, 409),
        tag="identities",
    ),
    Route(
        "DELETE",
        f"{_ALL}/roles/{{id}}",
        remove_role,
        "Take a role away",
        ACCESS,
        _MANAGE,
        answer=dict,
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
        ("permissions", "read"),
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
    Route("GET", _TOKENS, tokens, "List tokens of programs", ACCESS, answer=list, errors=(404,), tag="identities"),
    Route(
        "POST",
        _TOKENS,
        add_token,
        "Make a token for a program",
        ACCESS,
        body=NewToken,
        answer=dict,
        status=201,
        errors=(404,),
        tag="identities",
    ),
    Route(
        "DELETE",
        f"{_TOKENS}/{{token_id}}",
        delete_token,
        "Delete a token",
        ACCESS,
        answer=dict,
        bare=True,
        errors=(404,),
        tag="identities",
    ),
    Route(
        "POST",
        f"{_TOKENS}/{{token_id}}/revoke",
        revoke_token,
        "Revoke a token",
        ACCESS,
        body=RevokeBody,
        body_optional=True,
        answer=dict,
        errors=(404,),
        tag="identities",
    ),
)
