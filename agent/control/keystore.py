"""Stored keys (secrets and settings): make, change and delete them; encrypted as every service reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from agent.db.named_statements import Statements
from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.errors import ConfigurationError, Conflict, NotFound, UsageError
from agent.execution.secrets.encryption import encrypt, key_hash

OWNERS = ("system", "identity", "pack", "action", "sensor")


@dataclass(frozen=True)
class Owner:
    """Whose a key is; ``ref`` names a pack, an action, a sensor or an identity's login, None for the system."""

    kind: str = "system"
    ref: str | None = None
    id: int | None = None


class _Owner(NamedTuple):
    id: int
    ref: str


def set_key(
    connection: Connection,
    ref: str,
    value: Any,
    *,
    name: str | None = None,
    owner: Owner = Owner(),
    encrypted: bool = True,
    encryption_key: str | None = None,
    replace: bool = False,
) -> bool:
    """Store a key; True when it is new. With ``replace`` an existing one gets the value and keeps its owner.

    Raises:
        UsageError: the owner can't be understood.
        NotFound: there is no such owner.
        Conflict: there is a key with this ref, or its owner has one of this name.
        ConfigurationError: it is to be encrypted and there is no key to do it with.
    """
    stored, digest = stored_form(value, encrypted=encrypted, encryption_key=encryption_key)
    queries = load_queries("agent.control")
    values = {"ref": ref, "value": Jsonb(stored), "encrypted": encrypted, "hash": digest, "name": name}
    if replace and connection.execute(queries["replace_key"].encode(), values).fetchone() is not None:
        return False
    owned = _owner(connection, owner)
    row = connection.execute(
        queries["insert_key"].encode(), values | owned | {"name": name or ref.rpartition(".")[2]}
    ).fetchone()
    if row is None:
        raise Conflict(f"there is a key {ref}, or its owner has one of this name", hint="choose another ref or name")
    return True


def stored_form(value: Any, *, encrypted: bool, encryption_key: str | None) -> tuple[Any, str | None]:
    """Return the value as it is stored, and the hash of the key that encrypted it. Raises ConfigurationError."""
    if not encrypted:
        return value, None
    if not encryption_key:
        raise ConfigurationError(
            "a key can't be encrypted: security.encryption_key is not set",
            hint="set ATTUNE__SECURITY__ENCRYPTION_KEY, as the workers have it",
        )
    return encrypt(value, encryption_key), key_hash(encryption_key)


def list_keys(connection: Connection) -> list[dict[str, Any]]:
    """Return all keys without their values."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(load_queries("agent.control")["list_keys"].encode()).fetchall()


def find_key(connection: Connection, ref: str) -> dict[str, Any]:
    """Return a key with its value as stored. Raises NotFound."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(load_queries("agent.control")["find_key"].encode(), {"ref": ref}).fetchone()
    if found is None:
        raise NotFound(f"there is no key {ref}", hint="see: attune key list")
    return found


def delete_key(connection: Connection, ref: str) -> None:
    """Delete a key. Raises NotFound."""
    if connection.execute(load_queries("agent.control")["delete_key"].encode(), {"ref": ref}).fetchone() is None:
        raise NotFound(f"there is no key {ref}", hint="see: attune key list")


def _owner(connection: Connection, owner: Owner) -> dict[str, Any]:
    """Return the columns that say whose a key is."""
    if owner.kind not in OWNERS:
        raise UsageError(f"an owner is one of {', '.join(OWNERS)}, not {owner.kind}")
    columns: dict[str, Any] = dict.fromkeys(
        ("owner_identity", "owner_pack", "owner_pack_ref", "owner_action", "owner_action_ref", "owner_sensor",
         "owner_sensor_ref")
    )  # fmt: skip
    columns["owner_type"] = owner.kind
    if owner.kind == "system":
        if owner.ref is not None or owner.id is not None:
            raise UsageError("a key of the system has no owner")
        return columns
    if owner.ref is None and owner.id is None:
        raise UsageError(f"say which {owner.kind} owns the key")
    values = {"ref": owner.ref, "id": owner.id}
    found = Statements("agent.control").one(connection, _Owner, f"owner_{owner.kind}", values)
    if found is None:
        raise NotFound(f"there is no {owner.kind} {owner.ref or owner.id}")
    columns[f"owner_{owner.kind}"] = found.id
    if owner.kind != "identity":
        columns[f"owner_{owner.kind}_ref"] = found.ref
    return columns
