"""Who sends a request, and what they may do; the database is asked at most once a request, and only when it matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from agent.access.grants import Grant, allowed, sensor_grants, standard_grants
from agent.access.identities import Account, Identity, find_account, grants_of_sets
from agent.access.tokens import Claims
from agent.db.pool import Database
from agent.server.problems import Problem

STANDARD = "standard"
_LARGEST_ID = 2**63 - 1


@dataclass
class Caller:
    """The bearer of a token that was checked; ``claims`` is None where none was needed and none was shown.

    ``tried`` is as whom somebody without one wants to log in.
    """

    database: Database
    claims: Claims | None = None
    address: str = ""
    denied: list[str] = field(default_factory=list)
    tried: str = ""

    @property
    def kind(self) -> str:
        """The kind of the token, ``nobody`` without one."""
        return self.claims.kind if self.claims else "nobody"

    @property
    def identity_id(self) -> int:
        """The identity that the token was made for. Raises Problem where there is none."""
        identity = self.claims.identity if self.claims else None
        if identity is None:
            raise Problem.unauthorized("Invalid authentication token")
        return identity

    @property
    def identity(self) -> Identity:
        """The account. Raises Problem when it is gone or frozen: its tokens outlive neither."""
        return self._account.identity

    def forget(self) -> None:
        """Ask the database again: the account was changed by this very request."""
        self.__dict__.pop("_account", None)

    @property
    def execution_id(self) -> int | None:
        """The execution that the token was made for."""
        found = self.claims.metadata.get("execution_id") if self.claims and self.kind == "execution" else None
        return found if isinstance(found, int) and not isinstance(found, bool) and 0 < found <= _LARGEST_ID else None

    @property
    def trigger_types(self) -> list[str]:
        """The triggers that a sensor's token was made for; nothing else is open to it."""
        return _texts(self.claims.metadata, "trigger_types") if self.claims and self.kind == "sensor" else []

    @cached_property
    def set_refs(self) -> list[str]:
        """The permission sets that count."""
        return self._permissions[0]

    @property
    def grants(self) -> tuple[Grant, ...]:
        """What the permission sets allow."""
        return self._permissions[1]

    @cached_property
    def _account(self) -> Account:
        """The account and what it may do, in one statement: nearly every request asks for both."""
        with self.database.reading() as connection:
            found = find_account(connection, self.identity_id)
        if found is None:
            raise Problem.unauthorized("Invalid authentication token")
        if found.identity.frozen:
            raise Problem(403, "FORBIDDEN", "this account is frozen")
        return found

    @cached_property
    def _permissions(self) -> tuple[list[str], tuple[Grant, ...]]:
        if self.kind == "access":
            return self._account.set_refs, self._account.grants
        if self.kind == "sensor" and self.claims is not None:
            return [], sensor_grants(self.claims.login)
        if self.kind != "execution" or self.claims is None:
            return [], ()
        refs = _texts(self.claims.metadata, "permission_set_refs")
        with self.database.connection() as connection:
            grants, unknown = grants_of_sets(connection, [ref for ref in refs if ref != STANDARD])
        if unknown:
            raise Problem(403, "FORBIDDEN", f"the permission set {unknown[0]} of this token does not exist")
        # An action may look at its own execution, whatever else it was given.
        grants = (*grants, Grant("executions", frozenset(("read",)), {"execution_scope": "self"}))
        if STANDARD in refs:
            actions = _texts(self.claims.metadata, "standard_access_action_refs")
            packs = _texts(self.claims.metadata, "standard_access_pack_refs")
            grants = (*grants, *standard_grants(actions, packs))
        return refs, grants

    def may(
        self, resource: str, action: str, facts: Mapping[str, Any] | None = None, *, narrowly: bool = False
    ) -> bool:
        """Whether a grant allows it: on this object, or with ``facts`` None on some object at least."""
        return allowed(self.grants, resource, action, facts, narrowly=narrowly)

    def packs_with(self, resource: str, action: str) -> list[str] | None:
        """In which packs a grant allows it, None for all: where a list is narrowed to what the caller may see."""
        if self.may(resource, action, {}):
            return None
        found = [grant.constraints for grant in self.grants if grant.allows(resource, action)]
        named = [one["pack_refs"] for one in found if set(one) == {"pack_refs"} and isinstance(one["pack_refs"], list)]
        return sorted({ref for refs in named for ref in refs if isinstance(ref, str)})

    def require(self, resource: str, action: str, facts: Mapping[str, Any] | None = None) -> None:
        """Go on only if a grant allows it. Raises Problem."""
        if not self.may(resource, action, facts):
            self.denied.append(f"{resource}:{action}")
            raise Problem(403, "FORBIDDEN", f"this needs the permission {resource}:{action}")


def _texts(metadata: Mapping[str, Any], name: str) -> list[str]:
    found = metadata.get(name)
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []
