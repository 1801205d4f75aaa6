"""From a rule's parameters to the times at which it fires (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from agent.errors import InvalidTimer
from agent.timers.cron import cron
from agent.timers.fixed import interval, once
from agent.timers.recurrence_text import recurrence
from agent.timers.zones import zone_named

INTERVAL, CRON, ONCE, RECURRENCE = (f"core.{name}timer" for name in ("interval", "cron", "datetime", "rrule"))
TRIGGERS = (INTERVAL, CRON, ONCE, RECURRENCE)
_POLICIES = ("skip", "once")


class Schedule(Protocol):
    """Times in UTC."""

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first time after ``moment``; None when there is none."""


@dataclass(frozen=True)
class TimerPlan:
    """What one rule asks for. ``missed`` is what happens with times at which nobody was there: ``skip`` or ``once``;
    ``catchup`` is how many seconds back they count."""

    schedule: Schedule
    missed: str = "skip"
    catchup: float = 3600.0


def plan(trigger_ref: str, params: Mapping[str, Any], created: datetime) -> TimerPlan:
    """Read the parameters of a rule of one of ``TRIGGERS``; ``created`` is the rule's, from which intervals count.

    Raises:
        InvalidTimer: they describe no timer; the message says what to write.
    """
    zone = zone_named(params.get("timezone"))
    schedule: Schedule
    if trigger_ref == INTERVAL:
        schedule = interval(params, created)
    elif trigger_ref == CRON:
        schedule = cron(params.get("expression"), zone)
    elif trigger_ref == ONCE:
        schedule = once(params, zone)
    elif trigger_ref == RECURRENCE:
        schedule = recurrence(params, zone)
    else:
        raise InvalidTimer(f"{trigger_ref} is no trigger of the timer sensor")
    missed, catchup = params.get("missed", "skip"), params.get("catchup_seconds", 3600)
    if missed not in _POLICIES:
        raise InvalidTimer(f"missed must be one of {', '.join(_POLICIES)}")
    if isinstance(catchup, bool) or not isinstance(catchup, int | float) or not 0 <= catchup <= 366 * 86400:
        raise InvalidTimer("catchup_seconds must be a number of seconds up to a year")
    return TimerPlan(schedule, missed, float(catchup))
