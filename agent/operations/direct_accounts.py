"""Accounts, on the database; what hashes passwords is imported when it is needed."""

from __future__ import annotations

from collections.abc import Sequence

from agent.access import listing
from agent.access.account import Account
from agent.access.identities import assign, checked, create_identity
from agent.db.pool import Database


class DirectAccounts:
    """Implements ``Accounts``."""

    def __init__(self, database: Database) -> None:
        """Work on ``database``."""
        self._database = database

    def create(self, login: str, password: str | None, display_name: str | None, sets: Sequence[str]) -> int:
        """Make one with permission sets; all of it or nothing. Raises Conflict, NotFound, UsageError."""
        secret = None if password is None else checked(password)
        with self._database.connection() as connection:
            made = create_identity(connection, login, password=secret, display_name=display_name)
            for ref in sets:
                assign(connection, made, ref)
        return made

    def all(self) -> list[Account]:
        """Return them by login."""
        with self._database.connection() as connection:
            return listing.list_accounts(connection)

    def set_password(self, login: str, password: str) -> None:
        """Change it. Raises NotFound, UsageError."""
        with self._database.connection() as connection:
            listing.change_password(connection, login, password)

    def freeze(self, login: str, *, frozen: bool) -> None:
        """Freeze or unfreeze it. Raises NotFound."""
        with self._database.connection() as connection:
            listing.freeze(connection, login, frozen=frozen)
