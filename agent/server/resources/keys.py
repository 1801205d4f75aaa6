"""Keys: secrets and settings that actions get; a value is decrypted only for whoever may, and never listed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from agent.control.keystore import Owner, delete_key, set_key
from agent.errors import SecretUnavailable
from agent.execution.secrets.encryption import decrypt
from agent.server.call import Answer, Call, data, deleted, one, page, rows
from agent.server.problems import Problem
from agent.server.route import OWNING, Route
from agent.server.shapes import Id, Label, PerPage, Ref, Text

_PACKAGE = "agent.server"
OwnerType = Literal["system", "identity", "pack", "action", "sensor"]


class KeysQuery(PerPage, kw_only=True):
    """Whose keys."""

    owner_type: OwnerType | None = None
    owner: Text | None = None


class NewKey(Struct):
    """A key with its value; its owner by id or by ref."""

    ref: Ref
    name: Label
    owner_type: OwnerType
    value: Any
    encrypted: bool = False
    owner: Text | None = None
    owner_identity: Id | None = None
    owner_identity_login: Text | None = None
    owner_pack: Id | None = None
    owner_pack_ref: Ref | None = None
    owner_action: Id | None = None
    owner_action_ref: Ref | None = None
    owner_sensor: Id | None = None
    owner_sensor_ref: Ref | None = None


class KeyChange(Struct):
    """What is to be different; encrypting or not needs the value as well."""

    name: Label | None = None
    value: Any | UnsetType = UNSET
    encrypted: bool | None = None


def list_all(call: Call) -> Answer:
    """List the keys that the caller may read, without values."""
    query: KeysQuery = call.query
    values = {"owner_type": query.owner_type, "owner": query.owner}
    with call.connection() as connection:
        found = [row for row in rows(connection, _PACKAGE, "list_keys", values) if _may(call, "read", row)]
    window = query.window()
    items = found[window["offset"] : window["offset"] + query.size]
    names = ("id", "ref", "owner_type", "owner", "name", "encrypted", "created", "updated")
    shown = [{name: row[name] for name in names} for row in items]
    return page(shown, number=query.page, size=query.per_page, total=len(found))


def show(call: Call) -> Answer:
    """Show a key; the value of an encrypted one only to whoever may decrypt it."""
    with call.connection() as connection:
        row = _readable(call, connection)
    return data(_shown(call, row))


def create(call: Call) -> Answer:
    """Store a key."""
    body: NewKey = call.body
    ids = {kind: getattr(body, f"owner_{kind}") for kind in ("identity", "pack", "action", "sensor")}
    refs = {
        "identity": body.owner_identity_login,
        "pack": body.owner_pack_ref,
        "action": body.owner_action_ref,
        "sensor": body.owner_sensor_ref,
    }
    owner = Owner(body.owner_type, refs.get(body.owner_type) or body.owner, ids.get(body.owner_type))
    facts = {"ref": body.ref, "owner_type": body.owner_type, "encrypted": body.encrypted, "owner_ref": owner.ref}
    facts["owner"] = "none" if body.owner_type == "system" else "any"
    if body.owner_type == "identity" and _own(call, owner.id, owner.ref):
        facts["owner"] = "self"
    elif body.owner_type == "identity" and not call.caller.may("keys", "create", facts, narrowly=True):
        raise Problem(403, "FORBIDDEN", "a key of another identity needs a grant that names it")
    call.caller.require("keys", "create", facts)
    with call.connection() as connection:
        set_key(
            connection,
            body.ref.lower(),
            body.value,
            name=body.name,
            owner=owner,
            encrypted=body.encrypted,
            encryption_key=call.settings.security.encryption_key,
        )
        row = one(connection, _PACKAGE, "key", {"ref": body.ref.lower()})
    shown = _plain(row) | {"value": body.value}
    return data(shown, message="Key created successfully", status=201, Location=f"/api/v1/keys/{row['ref']}")


def update(call: Call) -> Answer:
    """Change a key."""
    body: KeyChange = call.body
    with call.connection() as connection:
        row = _readable(call, connection)
        _require(call, "update", row)
        encrypted = row["encrypted"] if body.encrypted is None else body.encrypted
        if body.value is UNSET and encrypted != row["encrypted"]:
            raise Problem.invalid("to encrypt or decrypt a key, send its value as well")
        if body.value is UNSET:
            if body.name is not None:
                connection.execute("UPDATE key SET name = %s WHERE id = %s", [body.name, row["id"]])
        else:
            set_key(
                connection,
                row["ref"],
                body.value,
                name=body.name,
                encrypted=encrypted,
                encryption_key=call.settings.security.encryption_key,
                replace=True,
            )
        changed = one(connection, _PACKAGE, "key", {"ref": row["ref"]})
    return data(_shown(call, changed), message="Key updated successfully")


def delete(call: Call) -> Answer:
    """Delete a key."""
    with call.connection() as connection:
        row = _readable(call, connection)
        _require(call, "delete", row)
        delete_key(connection, row["ref"])
    return deleted(f"Key '{row['ref']}' deleted successfully")


def _readable(call: Call, connection: Any) -> dict[str, Any]:
    row = one(connection, _PACKAGE, "key", {"ref": call.path["ref"]}, missing=_absent(call))
    if not _may(call, "read", row):
        raise Problem.not_found(_absent(call))
    return row


def _may(call: Call, action: str, row: Mapping[str, Any]) -> bool:
    facts = _facts(call, row)
    foreign = row["owner_type"] == "identity" and facts["owner"] != "self"
    return call.caller.may("keys", action, facts, narrowly=foreign)


def _require(call: Call, action: str, row: Mapping[str, Any]) -> None:
    if not _may(call, action, row):
        call.caller.denied.append(f"keys:{action}")
        raise Problem(403, "FORBIDDEN", f"this needs the permission keys:{action}")


def _facts(call: Call, row: Mapping[str, Any]) -> dict[str, Any]:
    owner_ref = row["owner_pack_ref"] or row["owner_action_ref"] or row["owner_sensor_ref"]
    owner = "none" if row["owner_type"] == "system" else "any"
    if row["owner_type"] == "identity" and _own(call, row["owner_identity"], None):
        owner = "self"
    return {
        "id": row["id"],
        "ref": row["ref"],
        "owner": owner,
        "owner_type": row["owner_type"],
        "owner_ref": owner_ref,
        "pack_ref": row["owner_pack_ref"] or (owner_ref or "").partition(".")[0] or None,
        "encrypted": row["encrypted"],
    }


def _own(call: Call, identity: int | None, login: str | None) -> bool:
    if call.caller.kind != "access":
        return False
    return identity == call.caller.identity_id if identity is not None else login == call.caller.identity.login


def _shown(call: Call, row: Mapping[str, Any]) -> dict[str, Any]:
    shown = _plain(row)
    if not row["encrypted"]:
        return shown
    if not _may(call, "decrypt", row):
        return shown | {"value": None}
    try:
        value = decrypt(row["value"], call.settings.security.encryption_key, row["encryption_key_hash"])
    except SecretUnavailable as error:
        raise Problem(409, "CONFLICT", f"key {row['ref']} can't be decrypted: {error}") from None
    return shown | {"value": value}


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "encryption_key_hash"}


def _absent(call: Call) -> str:
    return f"there is no key {call.path['ref']}"


_READ = ("keys", "read")
_ONE = "/api/v1/keys/{ref}"
ROUTES = (
    Route(
        "GET",
        "/api/v1/keys",
        list_all,
        "List keys",
        OWNING,
        needs=_READ,
        query=KeysQuery,
        listed=True,
        answer=dict,
        tag="keys",
    ),
    Route(
        "POST",
        "/api/v1/keys",
        create,
        "Store a key",
        needs=("keys", "create"),
        body=NewKey,
        answer=dict,
        status=201,
        errors=(404, 409),
        tag="keys",
    ),
    Route("GET", _ONE, show, "Show a key", OWNING, needs=_READ, answer=dict, errors=(404, 409), tag="keys"),
    Route(
        "PUT",
        _ONE,
        update,
        "Change a key",
        needs=("keys", "update"),
        body=KeyChange,
        answer=dict,
        errors=(404, 409),
        tag="keys",
    ),
    Route(
        "DELETE",
        _ONE,
        delete,
        "Delete a key",
        needs=("keys", "delete"),
        answer=dict,
        bare=True,
        errors=(404,),
        tag="keys",
    ),
)
