"""Tokens with which programs log in as an account."""

from __future__ import annotations

import secrets
from datetime import datetime

from msgspec import Struct

from agent.access.tokens import INTEGRATION_PREFIX, hashed
from agent.server.call import Answer, Call, data, deleted, one, rows
from agent.server.delegation import take_over
from agent.server.problems import Problem
from agent.server.route import ACCESS, Route
from agent.server.shapes import Label, Text

_PACKAGE = "agent.server"


class NewToken(Struct):
    """What a program's token is for."""

    label: Label
    description: Text | None = None
    expires_at: datetime | None = None


class RevokeBody(Struct):
    """Why."""

    reason: Text | None = None


def tokens(call: Call) -> Answer:
    """List the tokens of an account, without themselves."""
    identity = _owner(call, "read")
    with call.connection() as connection:
        one(connection, _PACKAGE, "identity", {"id": identity}, missing=_absent(call))
        return data(rows(connection, _PACKAGE, "integration_tokens", {"identity": identity, "id": None}))


def add_token(call: Call) -> Answer:
    """Make a token for a program; it is shown this once."""
    identity = _owner(call, "update")
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
        take_over(call, connection, identity)
        made = one(connection, _PACKAGE, "add_integration_token", values)
        found = one(connection, _PACKAGE, "integration_tokens", {"identity": identity, "id": made["id"]})
    return data({"token": token, "integration_token": found}, status=201)


def delete_token(call: Call) -> Answer:
    """Delete a token, and the log-ins that came from it."""
    identity = _owner(call, "update")
    with call.connection() as connection:
        values = {"id": call.path["token_id"], "identity": identity}
        one(connection, _PACKAGE, "delete_integration_token", values, missing="there is no such token")
    return deleted("Integration token deleted")


def revoke_token(call: Call) -> Answer:
    """Let a token do nothing more, and keep its row."""
    identity = _owner(call, "update")
    reason = call.body.reason if call.body else None
    with call.connection() as connection:
        values = {"id": call.path["token_id"], "identity": identity, "by": call.caller.identity_id, "reason": reason}
        one(connection, _PACKAGE, "revoke_integration_token", values, missing="there is no such token that is active")
        found = one(connection, _PACKAGE, "integration_tokens", {"identity": identity, "id": values["id"]})
    return data(found)


def _owner(call: Call, action: str) -> int:
    """One's own tokens are one's own affair; those of others need a permission."""
    if call.path["id"] != call.caller.identity_id:
        call.caller.require("identities", action, {"id": call.path["id"]})
    return int(call.path["id"])


def _absent(call: Call) -> str:
    return f"there is no identity {call.path['id']}"


_TOKENS = "/api/v1/identities/{id}/integration-tokens"
ROUTES = (
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
