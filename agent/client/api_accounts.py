"""Accounts, over the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.access.account import Account
from agent.client.documents import values_of
from agent.client.transport import Transport, path_of
from agent.errors import NotFound


class ApiAccounts:
    """Implements ``Accounts``."""

    def __init__(self, transport: Transport) -> None:
        """Ask through ``transport``."""
        self._transport = transport

    def create(self, login: str, password: str | None, display_name: str | None, sets: Sequence[str]) -> int:
        """Make one with permission sets; all of it or nothing. Raises Conflict, NotFound, UsageError."""
        body = {"login": login, "password": password, "display_name": display_name, "permission_sets": list(sets)}
        made: Any = self._transport.ask("POST", path_of("operator", "accounts"), body)
        return int(made["id"])

    def all(self) -> list[Account]:
        """Return them by login."""
        return values_of(Account, self._transport.ask("GET", path_of("operator", "accounts")))

    def set_password(self, login: str, password: str) -> None:
        """Change it. Raises NotFound, UsageError."""
        self._transport.ask("PUT", path_of("identities", self._id(login)), {"password": password})

    def freeze(self, login: str, *, frozen: bool) -> None:
        """Freeze or unfreeze it. Raises NotFound."""
        self._transport.ask("POST", path_of("identities", self._id(login), "freeze" if frozen else "unfreeze"))

    def _id(self, login: str) -> int:
        found = next((one.id for one in self.all() if one.login == login), None)
        if found is None:
            raise NotFound(f"there is no identity {login}", hint="see: attune identity list")
        return found
