"""What a caller may do: grants and their constraints, and what a worker's or a sensor's token may do at all (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Grant:
    """Some actions on one resource; each constraint must hold, and one that nobody knows the value for does not."""

    resource: str
    actions: frozenset[str]
    constraints: Mapping[str, Any] = field(default_factory=dict)

    def allows(self, resource: str, action: str, facts: Mapping[str, Any] | None = None) -> bool:
        """Whether it allows the action; without ``facts``, on some object at least."""
        if resource != self.resource or action not in self.actions:
            return False
        return facts is None or all(_holds(name, wanted, facts) for name, wanted in self.constraints.items())


def read_grants(documents: Iterable[Any]) -> tuple[Grant, ...]:
    """Read the column ``grants`` of permission sets; what is malformed grants nothing."""
    found = []
    for document in documents:
        for entry in document if isinstance(document, list) else ():
            actions = entry.get("actions") if isinstance(entry, dict) else None
            constraints = entry.get("constraints") if isinstance(entry, dict) else None
            if isinstance(actions, list) and isinstance(entry.get("resource"), str):
                allowed = frozenset(action for action in actions if isinstance(action, str))
                found.append(Grant(entry["resource"], allowed, constraints if isinstance(constraints, dict) else {}))
    return tuple(found)


def allowed(
    grants: Sequence[Grant],
    resource: str,
    action: str,
    facts: Mapping[str, Any] | None = None,
    *,
    narrowly: bool = False,
) -> bool:
    """Whether any grant allows it; ``narrowly``: one that has a constraint."""
    return any(grant.allows(resource, action, facts) for grant in grants if grant.constraints or not narrowly)


def standard_grants(action_refs: Sequence[str], pack_refs: Sequence[str]) -> tuple[Grant, ...]:
    """Return what the pseudo set ``standard`` of an execution's token stands for: what its action and pack own."""
    found: list[Grant] = []
    for owner_type, refs in (("pack", pack_refs), ("action", action_refs)):
        constraints = {"owner_types": [owner_type], "owner_refs": list(refs)}
        found.append(Grant("keys", frozenset(("read", "decrypt")), constraints))
        found.append(Grant("artifacts", frozenset(("read", "create", "update", "delete")), constraints))
    return tuple(found)


def sensor_grants(sensor_ref: str) -> tuple[Grant, ...]:
    """Return what a sensor's token is for beside its triggers: its own keys and artifacts, and the keys of its pack."""
    own = {"owner_types": ["sensor"], "owner_refs": [sensor_ref]}
    pack = {"owner_types": ["pack"], "owner_refs": [sensor_ref.partition(".")[0]]}
    read = frozenset(("read", "decrypt"))
    written = frozenset(("read", "create", "update"))
    return (Grant("keys", read, own), Grant("keys", read, pack), Grant("artifacts", written, own))


def missing(held: Sequence[Grant], wanted: Iterable[Grant]) -> list[str]:
    """Return each ``resource:action`` of ``wanted`` that ``held`` has no grant for: nobody passes on what he lacks."""
    return sorted(
        {
            f"{grant.resource}:{action}"
            for grant in wanted
            for action in grant.actions
            if not any(
                own.allows(grant.resource, action) and (not own.constraints or own.constraints == grant.constraints)
                for own in held
            )
        }
    )


def _holds(name: str, wanted: Any, facts: Mapping[str, Any]) -> bool:
    if name == "owner":
        return bool(wanted == "any" or facts.get("owner") == wanted)
    if name == "execution_scope":
        return wanted == "any" or facts.get("execution_scope") in (("self",) if wanted == "self" else ("self", wanted))
    if name == "encrypted":
        return facts.get("encrypted") is wanted
    if name == "attributes":
        own = facts.get("attributes")
        return isinstance(wanted, dict) and isinstance(own, dict) and all(own.get(k) == v for k, v in wanted.items())
    fact = {"pack_refs": "pack_ref", "owner_types": "owner_type", "owner_refs": "owner_ref", "refs": "ref", "ids": "id"}
    key = fact.get(name, name)
    return isinstance(wanted, list) and key in facts and facts[key] in wanted
