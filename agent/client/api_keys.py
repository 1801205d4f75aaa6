"""Stored keys, over the API: the server encrypts and decrypts."""

from __future__ import annotations

from typing import Any

from agent.client.documents import moments
from agent.client.transport import Transport, path_of
from agent.errors import NotFound
from agent.operations.interface import NewKey

_FIELDS = ("id", "ref", "owner_type", "owner", "name", "encrypted", "value", "created", "updated")
_PAGE = 100


class ApiKeys:
    """Implements ``Keys``."""

    def __init__(self, transport: Transport) -> None:
        """Ask through ``transport``."""
        self._transport = transport

    def store(self, key: NewKey) -> bool:
        """Store it; return whether it is new."""
        change = {"value": key.value, "encrypted": key.encrypted, "name": key.name}
        try:
            self._transport.ask("PUT", path_of("keys", key.ref), change, repeatable=True)
            return False
        except NotFound:
            body = {
                "ref": key.ref,
                "name": key.name or key.ref.rpartition(".")[2],
                "owner_type": key.owner.kind,
                "owner": key.owner.ref,
                "value": key.value,
                "encrypted": key.encrypted,
            }
            self._transport.ask("POST", path_of("keys"), body)
            return True

    def all(self) -> list[dict[str, Any]]:
        """Return all that one may read, without values."""
        found: list[dict[str, Any]] = []
        number = 1
        while True:
            page: Any = self._transport.ask("GET", path_of("keys"), query={"page": number, "per_page": _PAGE})
            found += [_shown(one, without=("value",)) for one in page["items"]]
            if not page["pagination"]["has_next"]:
                return found
            number += 1

    def find(self, ref: str, *, reveal: bool) -> dict[str, Any]:
        """Return one. Raises NotFound."""
        found = _shown(self._transport.ask("GET", path_of("keys", ref)))
        return found if reveal or not found["encrypted"] else found | {"value": None}

    def delete(self, ref: str) -> None:
        """Delete it. Raises NotFound."""
        self._transport.ask("DELETE", path_of("keys", ref))


def _shown(document: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
    found = moments(document, ("created", "updated"))
    return {name: found.get(name) for name in _FIELDS if name not in without}
