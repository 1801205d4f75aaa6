"""The two timers without a calendar: every so often, and once (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from agent.errors import InvalidTimer
from agent.timers.zones import moment_of

_UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
_LONGEST = 366 * 86400 * 10


@dataclass(frozen=True)
class Interval:
    """Every ``seconds``, counted from ``origin``: the phase survives restarts and changes of other rules."""

    seconds: int
    origin: datetime

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first time after ``moment``, at the earliest one interval after the origin."""
        passed = max(0, (moment - self.origin) // timedelta(seconds=self.seconds))
        return self.origin + timedelta(seconds=self.seconds) * (passed + 1)


@dataclass(frozen=True)
class Once:
    """One moment."""

    at: datetime

    def next_after(self, moment: datetime) -> datetime | None:
        """Return it while it is still to come."""
        return self.at if self.at > moment else None


def interval(params: Mapping[str, Any], origin: datetime) -> Interval:
    """Read ``interval`` and ``unit``. Raises InvalidTimer."""
    amount, unit = params.get("interval"), params.get("unit", "seconds")
    if not isinstance(amount, int) or isinstance(amount, bool) or amount < 1:
        raise InvalidTimer("interval must be a whole number from 1 on")
    if not isinstance(unit, str) or unit not in _UNITS:
        raise InvalidTimer(f"unit must be one of {', '.join(_UNITS)}")
    if amount > _LONGEST // _UNITS[unit]:
        raise InvalidTimer("interval is longer than ten years")
    return Interval(amount * _UNITS[unit], origin)


def once(params: Mapping[str, Any], zone: tzinfo) -> Once:
    """Read ``fire_at``. Raises InvalidTimer."""
    return Once(read_moment("fire_at", params.get("fire_at"), zone))


def read_moment(key: str, text: object, zone: tzinfo) -> datetime:
    """Return the moment, in UTC, that RFC 3339 text means; without an offset it is read in ``zone``.

    Raises:
        InvalidTimer: it is no moment; ``key`` names the parameter.
    """
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) and len(text) <= 64 else None
        if found is not None:
            return found.astimezone(UTC) if found.tzinfo is not None else moment_of(found, zone)
    except (ValueError, OverflowError):
        pass
    raise InvalidTimer(f"{key} must be a moment such as 2027-01-31T08:00:00Z or 2027-01-31T08:00:00+01:00")
