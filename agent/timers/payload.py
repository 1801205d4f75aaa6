"""The event that a tick becomes (pure)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from agent.timers.fixed import Interval
from agent.timers.schedule import CRON, INTERVAL, ONCE
from agent.timers.timetable import Tick


def event_of(tick: Tick, fired_at: datetime, sensor_ref: str) -> dict[str, Any]:
    """Return the body of ``POST /events``: the event is bound to the tick's rule."""
    return {
        "trigger_ref": tick.rule.trigger_ref,
        "trigger_instance_id": f"rule_{tick.rule.id}",
        "payload": _payload(tick, fired_at) | {"sensor_ref": sensor_ref},
    }


def key_of(tick: Tick) -> str:
    """Return what makes a second post of the same tick recognisable, whoever sends it."""
    return f"timer:{tick.rule.id}:{_text(tick.scheduled_at)}"


def _payload(tick: Tick, fired_at: datetime) -> dict[str, Any]:
    trigger, zone = tick.rule.trigger_ref, tick.rule.params.get("timezone") or "UTC"
    found: dict[str, Any] = {"fired_at": _text(fired_at), "scheduled_at": _text(tick.scheduled_at)}
    delay = {"delay_ms": max(0, round((fired_at - tick.scheduled_at).total_seconds() * 1000))}
    if trigger == ONCE:
        found |= {"type": "one_shot", "fire_at": _text(tick.scheduled_at), "timezone": zone} | delay
    elif trigger == INTERVAL:
        assert isinstance(tick.plan.schedule, Interval), "an interval trigger has an interval"
        found |= {"type": "interval", "interval_seconds": tick.plan.schedule.seconds, "execution_count": tick.count}
    elif trigger == CRON:
        found |= {"type": "cron", "expression": tick.rule.params.get("expression"), "timezone": zone}
        found |= {"execution_count": tick.count}
        if tick.next_at is not None:
            found["next_fire_at"] = _text(tick.next_at)
    else:
        found |= {"type": "rrule", "execution_count": tick.count} | delay
    return found | ({"missed_count": tick.missed + 1} if tick.missed or _was_missed(tick, fired_at) else {})


def _was_missed(tick: Tick, fired_at: datetime) -> bool:
    return tick.plan.missed == "once" and (fired_at - tick.scheduled_at).total_seconds() > 60


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
