"""Accounts, their roles and their ends."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from agent.access.identities import create_identity
from agent.access.passwords import hash_password
from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.server.call import Answer, Call, counted_page, data, deleted, one, rows
from agent.server.delegation import pass_on_role, take_over
from agent.server.problems import Problem
from agent.server.route import ACCESS, Route
from agent.server.shapes import Label, NewLogin, Paging, Password

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


def list_all(call: Call) -> Answer:
    """List accounts by login."""
    with call.connection() as connection:
        found = rows(connection, _PACKAGE, "list_identities", call.query.window())
        total = one(connection, _PACKAGE, "count_identities")["total"]
    return counted_page(call, found, total)


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
            take_over(call, connection, call.path["id"])
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


def add_role(call: Call) -> Answer:
    """Give an account a role."""
    with call.connection() as connection:
        _identity(call, connection)
        pass_on_role(call, connection, call.body.role)
        found = one(connection, _PACKAGE, "add_role", {"id": call.path["id"], "role": call.body.role})
    return data(found, status=201)


def remove_role(call: Call) -> Answer:
    """Take a role away."""
    with call.connection() as connection:
        one(connection, _PACKAGE, "remove_role", {"id": call.path["id"]}, missing="there is no such role assignment")
    return deleted("Role removed")


def _identity(call: Call, connection: Connection) -> dict[str, Any]:
    return one(connection, _PACKAGE, "identity", {"id": call.path["id"]}, missing=_absent(call))


def _freeze(call: Call, *, frozen: bool) -> Answer:
    with call.connection() as connection:
        values = {"id": call.path["id"], "frozen": frozen}
        one(connection, _PACKAGE, "freeze", values, missing=_absent(call))
        if frozen:
            _end_logins(connection, call.path["id"])
        return data(_identity(call, connection))


def _end_logins(connection: Connection, identity: int) -> None:
    connection.execute(load_queries("agent.access")["revoke_identity"].encode(), {"identity": identity})


def _absent(call: Call) -> str:
    return f"there is no identity {call.path['id']}"


_READ, _UPDATE, _MANAGE = ("identities", "read"), ("identities", "update"), ("permissions", "manage")
_ALL, _ONE = "/api/v1/identities", "/api/v1/identities/{id}"
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
)
