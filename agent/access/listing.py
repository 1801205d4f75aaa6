"""Accounts as an operator sees them, and what he changes by their login."""

from __future__ import annotations

from psycopg.rows import class_row

from agent.access.account import Account
from agent.access.identities import checked, find_identity
from agent.access.passwords import hash_password
from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.errors import NotFound


def list_accounts(connection: Connection) -> list[Account]:
    """Return all accounts by login."""
    with connection.cursor(row_factory=class_row(Account)) as cursor:
        return cursor.execute(load_queries("agent.access")["accounts"].encode()).fetchall()


def change_password(connection: Connection, login: str, password: str) -> None:
    """Set a password and end the account's log-ins. Raises NotFound, UsageError."""
    found = _id(connection, login)
    sql = load_queries("agent.access")
    connection.execute(sql["set_password"].encode(), {"id": found, "hash": hash_password(checked(password))})
    connection.execute(sql["revoke_identity"].encode(), {"identity": found})


def freeze(connection: Connection, login: str, *, frozen: bool) -> None:
    """Freeze or unfreeze an account. Raises NotFound."""
    found = _id(connection, login)
    sql = load_queries("agent.access")
    connection.execute(sql["freeze"].encode(), {"id": found, "frozen": frozen})
    if frozen:
        connection.execute(sql["revoke_identity"].encode(), {"identity": found})


def _id(connection: Connection, login: str) -> int:
    found = find_identity(connection, login=login)
    if found is None:
        raise NotFound(f"there is no identity {login}", hint="see: attune identity list")
    return found.id
