"""Rows that the processor reads, each by the names of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple


class Event(NamedTuple):
    """An event; ``trigger_enabled`` is None where its trigger was deleted."""

    id: int
    trigger: int | None
    trigger_ref: str
    payload: Any
    created: datetime
    rule: int | None
    rule_ref: str | None
    trigger_enabled: bool | None
    out_schema: Any

    def named(self) -> dict[str, Any]:
        """Return what conditions and templates may speak of."""
        return {
            "id": self.id,
            "trigger": self.trigger_ref,
            "trigger_ref": self.trigger_ref,
            "payload": self.payload,
            "created": self.created.isoformat().replace("+00:00", "Z"),
        }


class Rule(NamedTuple):
    """A rule with what its parameters are made of; ``action_ref`` is None where its action was deleted."""

    id: int
    ref: str
    pack_ref: str
    trigger_ref: str
    enabled: bool
    conditions: Any
    action_params: Any
    permission_set_refs: list[str] | None
    owner_identity: int | None
    action_ref: str | None
    param_schema: Any
    pack_config: Mapping[str, Any] | None
    pack_schema: Any
