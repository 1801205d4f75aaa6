"""Accounts: found, made, and what each may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from agent.access.grants import Grant, read_grants
from agent.access.passwords import LONGEST, hash_password
from agent.db.named_statements import Statements
from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.errors import Conflict, NotFound, UsageError

ADMIN = "core.admin"
_PROGRAMS = ("execution:", "sensor:", "worker:")
_SHORTEST = 8


@dataclass(frozen=True)
class Identity:
    """A row of ``identity``."""

    id: int
    login: str
    display_name: str | None
    password_hash: str | None
    frozen: bool
    attributes: Any

    @property
    def provider(self) -> str:
        """Who keeps its password: ``local``, ``oidc`` or ``ldap``."""
        attributes = self.attributes if isinstance(self.attributes, dict) else {}
        return next((name for name in ("oidc", "ldap") if name in attributes), "local")


class _Set(NamedTuple):
    ref: str
    grants: Any


class Account(NamedTuple):
    """An account with the refs of its permission sets, and the grants in them."""

    identity: Identity
    set_refs: list[str]
    grants: tuple[Grant, ...]


class _AccountRow(NamedTuple):
    id: int
    login: str
    display_name: str | None
    password_hash: str | None
    frozen: bool
    attributes: Any
    refs: list[str]
    grants: list[Any]


def find_identity(connection: Connection, *, login: str | None = None, id: int | None = None) -> Identity | None:  # noqa: A002
    """Return an account by its login or its id, None when there is none."""
    sql = load_queries("agent.access")["identity_by_login" if login is not None else "identity_by_id"]
    with connection.cursor(row_factory=class_row(Identity)) as cursor:
        return cursor.execute(sql.encode(), {"login": login, "id": id}).fetchone()


def find_account(connection: Connection, identity: int) -> Account | None:
    """Return an account with what it may do, None when there is none."""
    found = Statements("agent.access").one(connection, _AccountRow, "account", {"id": identity})
    if found is None:
        return None
    known = Identity(
        id=found.id,
        login=found.login,
        display_name=found.display_name,
        password_hash=found.password_hash,
        frozen=found.frozen,
        attributes=found.attributes,
    )
    return Account(known, found.refs, read_grants(found.grants))


def grants_of_sets(connection: Connection, refs: list[str]) -> tuple[tuple[Grant, ...], list[str]]:
    """Return the grants of permission sets, and those refs that no set has."""
    sets = Statements("agent.access").all(connection, _Set, "sets_by_ref", {"refs": refs})
    known = {found.ref for found in sets}
    return read_grants(found.grants for found in sets), [ref for ref in refs if ref not in known]


def create_identity(
    connection: Connection,
    login: str,
    *,
    password: str | None = None,
    display_name: str | None = None,
    attributes: dict[str, Any] | None = None,
) -> int:
    """Make an account; return its id.

    Raises:
        UsageError: the password is too short or too long, or the login is one of a program's.
        Conflict: there is one with this login.
    """
    if login.lower().startswith(_PROGRAMS):
        raise UsageError(f"a login does not begin with {login.partition(':')[0]}: as those of programs do")
    values = {
        "login": login,
        "display_name": display_name,
        "password_hash": None if password is None else hash_password(checked(password)),
        "attributes": Jsonb(attributes or {}),
    }
    row = connection.execute(load_queries("agent.access")["create_identity"].encode(), values).fetchone()
    if row is None:
        raise Conflict(f"identity {login} already exists")
    return int(row[0])


def checked(password: str) -> str:
    """Return the password. Raises UsageError when it is too short or too long."""
    if not _SHORTEST <= len(password) <= LONGEST:
        raise UsageError(f"a password has {_SHORTEST} to {LONGEST} characters; this one has {len(password)}")
    return password


def assign(connection: Connection, identity: int, set_ref: str) -> None:
    """Give an account a permission set. Raises NotFound when there is no such set."""
    sql = load_queries("agent.access")
    if connection.execute(sql["has_set"].encode(), {"ref": set_ref}).fetchone() is None:
        raise NotFound(f"there is no permission set {set_ref}", hint="attune pack register core brings core.admin")
    connection.execute(sql["assign_set"].encode(), {"identity": identity, "ref": set_ref})
