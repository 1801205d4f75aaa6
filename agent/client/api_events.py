"""Triggers, rules, events and sensors, over the API."""

from __future__ import annotations

from typing import Any

from agent.client.documents import moments, value_of
from agent.client.transport import Transport, path_of
from agent.errors import AgentError
from agent.operations.interface import NewRule
from agent.rules.explained_event import Explained

_PAGE = 100
_MOST_PAGES = 100


class ApiEvents:
    """Implements ``Events``."""

    def __init__(self, transport: Transport) -> None:
        """Ask through ``transport``."""
        self._transport = transport

    def triggers(self) -> list[dict[str, Any]]:
        """Return the triggers by ref."""
        return self._pages("triggers")

    def trigger(self, ref: str) -> dict[str, Any]:
        """Return one. Raises NotFound."""
        return self._one("triggers", ref)

    def rules(self, trigger_ref: str | None = None) -> list[dict[str, Any]]:
        """Return the rules by ref, all or those of a trigger."""
        return self._pages("rules") if trigger_ref is None else self._pages("triggers", trigger_ref, "rules")

    def rule(self, ref: str) -> dict[str, Any]:
        """Return one. Raises NotFound."""
        return self._one("rules", ref)

    def create_rule(self, rule: NewRule) -> dict[str, Any]:
        """Make one. Raises NotFound, UsageError, Conflict."""
        body = {**rule.__dict__, "label": rule.label or rule.ref, "pack_ref": rule.ref.partition(".")[0]}
        return _shown(self._transport.ask("POST", path_of("rules"), body))

    def delete_rule(self, ref: str) -> None:
        """Delete one. Raises NotFound."""
        self._transport.ask("DELETE", path_of("rules", ref))

    def sensors(self) -> list[dict[str, Any]]:
        """Return the sensors by ref."""
        return self._pages("sensors")

    def sensor(self, ref: str) -> dict[str, Any]:
        """Return one with its processes. Raises NotFound."""
        return self._one("sensors", ref)

    def switch(self, kind: str, ref: str, *, on: bool) -> None:
        """Switch a rule, trigger or sensor on or off. Raises NotFound."""
        self._transport.ask("POST", path_of(f"{kind}s", ref, "enable" if on else "disable"), repeatable=True)

    def recent(self, *, limit: int, trigger_ref: str | None = None) -> list[dict[str, Any]]:
        """Return the newest events, newest first."""
        query = {"per_page": min(limit, _PAGE), "trigger_ref": trigger_ref}
        found: list[dict[str, Any]] = []
        for number in range(1, _MOST_PAGES + 1):
            answer = self._transport.ask("GET", path_of("events"), query=query | {"page": number})
            found += _items(answer)
            if len(found) >= limit or not answer["pagination"]["has_next"]:
                break
        return found[:limit]

    def event(self, event_id: int) -> dict[str, Any]:
        """Return one, without what its trigger declares secret. Raises NotFound."""
        found = _shown(self._transport.ask("GET", path_of("events", event_id)))
        if isinstance(found.get("outcome"), dict):
            found["outcome"] = moments(found["outcome"], ("processed",))
        return found

    def send(self, trigger_ref: str, payload: Any, *, rule_ref: str | None = None) -> int:
        """Write an event; return its id. Raises NotFound."""
        body: dict[str, Any] = {"trigger_ref": trigger_ref, "payload": payload}
        if rule_ref is not None:
            body["trigger_instance_id"] = f"rule_{self.rule(rule_ref)['id']}"
        return int(_shown(self._transport.ask("POST", path_of("events"), body))["id"])

    def explain(self, event_id: int) -> Explained:
        """Say why it started what it started. Raises NotFound."""
        return value_of(Explained, self._transport.ask("GET", path_of("events", event_id, "explain")))

    def _pages(self, *parts: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for number in range(1, _MOST_PAGES + 1):
            answer = self._transport.ask("GET", path_of(*parts), query={"page": number, "page_size": _PAGE})
            found += _items(answer)
            if not answer["pagination"]["has_next"]:
                break
        return found

    def _one(self, *parts: str) -> dict[str, Any]:
        return _shown(self._transport.ask("GET", path_of(*parts)))


def _items(answer: Any) -> list[dict[str, Any]]:
    if not isinstance(answer, dict) or not isinstance(answer.get("items"), list):
        raise AgentError("the API's answer can't be understood", hint="is the server as new as this command?")
    return [_shown(one) for one in answer["items"]]


def _shown(document: Any) -> dict[str, Any]:
    return moments(document, ("created", "updated"))
