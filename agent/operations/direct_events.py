"""Triggers, rules, events and sensors, on the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.db.named_statements import Statements
from agent.db.pool import Connection, Database
from agent.errors import Conflict, NotFound, UsageError
from agent.execution.secrets.redaction import redact_result
from agent.operations.interface import NewRule
from agent.rules.event_explanation import explain_event
from agent.rules.explained_event import Explained
from agent.rules.new_event import NewEvent, write_event
from agent.rules.saving import prepare_rule, wrong_ref

_EVERYTHING = {
    "pack_ref": None,
    "action_ref": None,
    "trigger_ref": None,
    "rule_ref": None,
    "trigger": None,
    "source": None,
    "enabled": None,
    "limit": 10_000,
    "offset": 0,
}


class DirectEvents:
    """Implements ``Events``."""

    def __init__(self, database: Database) -> None:
        """Work on ``database``."""
        self._database = database
        self._sql = Statements("agent.rules")

    def triggers(self) -> list[dict[str, Any]]:
        """Return the triggers by ref."""
        return self._all("list_triggers", _EVERYTHING)

    def trigger(self, ref: str) -> dict[str, Any]:
        """Return one. Raises NotFound."""
        return self._one("trigger", ref)

    def rules(self, trigger_ref: str | None = None) -> list[dict[str, Any]]:
        """Return the rules by ref, all or those of a trigger."""
        return self._all("list_rules", _EVERYTHING | {"trigger_ref": trigger_ref})

    def rule(self, ref: str) -> dict[str, Any]:
        """Return one. Raises NotFound."""
        return self._one("rule", ref)

    def create_rule(self, rule: NewRule) -> dict[str, Any]:
        """Make one. Raises NotFound, UsageError, Conflict."""
        pack_ref = rule.ref.partition(".")[0]
        wrong = wrong_ref(rule.ref, pack_ref)
        if wrong:
            raise UsageError(wrong)
        with self._database.connection() as connection:
            packs = self._sql.mappings(connection, "target_pack", {"ref": pack_ref})
            if not packs:
                raise NotFound(f"there is no pack {pack_ref}", hint="see: attune pack list")
            if self._sql.mappings(connection, "rule", {"ref": rule.ref}):
                raise Conflict(f"there is a rule {rule.ref} already")
            values = {
                **rule.__dict__,
                "label": rule.label or rule.ref,
                "pack": packs[0]["id"],
                "pack_ref": pack_ref,
                "permission_set_refs": None,
                "owner": None,
            }
            values |= prepare_rule(connection, values)
            self._sql.run(connection, "create_rule", values)
        return self.rule(rule.ref)

    def delete_rule(self, ref: str) -> None:
        """Delete one. Raises NotFound."""
        self._change("delete_rule", "rule", {"ref": ref})

    def sensors(self) -> list[dict[str, Any]]:
        """Return the sensors by ref."""
        return self._all("list_sensors", _EVERYTHING)

    def sensor(self, ref: str) -> dict[str, Any]:
        """Return one with its processes. Raises NotFound."""
        return self._one("sensor", ref)

    def switch(self, kind: str, ref: str, *, on: bool) -> None:
        """Switch a rule, trigger or sensor on or off. Raises NotFound."""
        self._change(f"switch_{kind}", kind, {"ref": ref, "enabled": on})

    def recent(self, *, limit: int, trigger_ref: str | None = None) -> list[dict[str, Any]]:
        """Return the newest events, newest first."""
        return self._all("list_events", _EVERYTHING | {"trigger_ref": trigger_ref, "limit": limit})

    def event(self, event_id: int) -> dict[str, Any]:
        """Return one, without what its trigger declares secret. Raises NotFound."""
        with self._database.connection() as connection:
            found = self._sql.mappings(connection, "event", {"id": event_id})
        if not found:
            raise NotFound(f"there is no event {event_id}", hint="see: attune event list")
        row = dict(found[0])
        row["payload"], _ = redact_result(row["payload"], row.pop("out_schema"))
        outcome = {name: row.pop(name) for name in ("processed", "rules", "matched", "failed", "note")}
        return row | {"outcome": outcome if row.pop("known") else None}

    def send(self, trigger_ref: str, payload: Any, *, rule_ref: str | None = None) -> int:
        """Write an event; return its id. Raises NotFound."""
        with self._database.connection() as connection:
            rule = self._rule_of(connection, rule_ref, trigger_ref) if rule_ref else None
            named = None if rule is None else (int(rule["id"]), str(rule["ref"]))
            return write_event(connection, NewEvent(trigger_ref, payload, "attune event send", rule=named)).id

    def explain(self, event_id: int) -> Explained:
        """Say why it started what it started. Raises NotFound."""
        with self._database.connection() as connection:
            return explain_event(connection, event_id)

    def _rule_of(self, connection: Connection, ref: str, trigger_ref: str) -> dict[str, Any]:
        found = self._sql.mappings(connection, "rule", {"ref": ref})
        if not found or found[0]["trigger_ref"] != trigger_ref:
            raise NotFound(f"there is no rule {ref} of the trigger {trigger_ref}", hint="see: attune rule list")
        return found[0]

    def _all(self, name: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        with self._database.connection() as connection:
            return self._sql.mappings(connection, name, values)

    def _one(self, kind: str, ref: str) -> dict[str, Any]:
        found = self._all(kind, {"ref": ref})
        if not found:
            raise _absent(kind, ref)
        return found[0]

    def _change(self, name: str, kind: str, values: Mapping[str, Any]) -> None:
        if not self._all(name, values):
            raise _absent(kind, str(values["ref"]))


def _absent(kind: str, ref: str) -> NotFound:
    return NotFound(f"there is no {kind} {ref}", hint=f"see: attune {kind} list")
