"""A rule as the timer sensor hears of it, from its environment or from the server (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agent.timers.schedule import TRIGGERS


@dataclass(frozen=True)
class TimerRule:
    """``since`` is when it became what it is: times before that are not its."""

    id: int
    ref: str
    trigger_ref: str
    params: Mapping[str, Any]
    created: datetime
    since: datetime

    @property
    def asked(self) -> str:
        """What its timer depends on, as text: while it stays the same, the timer goes on as it is."""
        return json.dumps([self.trigger_ref, self.params, self.created.isoformat()], sort_keys=True, default=str)


def read_rules(items: object, *, now: datetime, trigger_ref: str | None = None) -> Iterator[TimerRule]:
    """Yield the rules of a list that others wrote; what is no enabled rule of a timer is left out.

    A missing time of creation or change becomes ``now``; a missing trigger is ``trigger_ref``.
    """
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, Mapping):
            continue
        trigger = item.get("trigger_ref", trigger_ref)
        params: Mapping[str, Any] = next(
            (item[key] for key in ("trigger_params", "config") if isinstance(item.get(key), Mapping)), {}
        )
        rule = item.get("id")
        if not isinstance(rule, int) or isinstance(rule, bool) or trigger not in TRIGGERS:
            continue
        if item.get("enabled", True) is not True:
            continue
        created = _moment(item.get("created"), now)
        since = max(created, _moment(item.get("updated"), created))
        yield TimerRule(rule, str(item.get("ref", "")), trigger, params, created, min(since, now))


def _moment(value: object, otherwise: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) and len(value) < 64 else None
    except ValueError:
        return otherwise
    if found is None:
        return otherwise
    return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)
