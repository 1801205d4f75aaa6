"""Read a recurrence rule: as RFC 5545 writes it, or as parameters of their own (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from agent.errors import InvalidTimer
from agent.timers.fixed import read_moment
from agent.timers.recurrence import Parts, Recurrence, zone_start
from agent.timers.zones import moment_of

_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY")
_SUB_DAILY = ("HOURLY", "MINUTELY")
_LONGEST, _MOST_VALUES, _MOST_COUNT, _MOST_INTERVAL = 1000, 366, 10_000, 10_000
#: The parts that are lists of numbers: their limits, and whether a negative one counts from the end.
_NUMBERS: Mapping[str, tuple[int, int, bool]] = {
    "BYMONTH": (1, 12, False),
    "BYWEEKNO": (1, 53, True),
    "BYYEARDAY": (1, 366, True),
    "BYMONTHDAY": (1, 31, True),
    "BYHOUR": (0, 23, False),
    "BYMINUTE": (0, 59, False),
    "BYSECOND": (0, 59, False),
    "BYSETPOS": (1, 366, True),
}
_FIELDS = {"BYMONTH": "by_month", "BYWEEKNO": "by_week_no", "BYYEARDAY": "by_year_day", "BYMONTHDAY": "by_month_day"}
_FIELDS |= {"BYHOUR": "by_hour", "BYMINUTE": "by_minute", "BYSECOND": "by_second", "BYSETPOS": "by_set_pos"}
_PARAMETERS = {field: name for name, field in _FIELDS.items()}
_PARAMETERS |= {name: name.upper() for name in ("freq", "interval", "count", "until")}
_PARAMETERS |= {"by_day": "BYDAY", "week_start": "WKST"}


def recurrence(params: Mapping[str, Any], zone: tzinfo) -> Recurrence:
    """Read ``rule`` or ``freq`` and its parts, and ``dtstart``.

    Raises:
        InvalidTimer: it is no rule, or one that this timer does not follow; the message says why.
    """
    start = zone_start(read_moment("dtstart", params.get("dtstart"), zone), zone)
    parts = _parts(_said(params), zone)
    if parts.freq in _SUB_DAILY:
        used = [name for name, field in _FIELDS.items() if getattr(parts, field) and name not in ("BYHOUR", "BYMINUTE")]
        used += ["BYDAY"] if any(number for _, number in parts.by_day) else []
        if used := [name for name in used if name != "BYSECOND"]:
            raise InvalidTimer(f"FREQ={parts.freq} does not go with {used[0]}: use FREQ=DAILY with BYHOUR and BYMINUTE")
    if any(number for _, number in parts.by_day) and parts.freq not in ("MONTHLY", "YEARLY"):
        raise InvalidTimer("a numbered weekday such as 2MO goes with FREQ=MONTHLY or FREQ=YEARLY")
    if parts.by_week_no and parts.freq != "YEARLY":
        raise InvalidTimer("BYWEEKNO goes with FREQ=YEARLY")
    return Recurrence(parts, start, zone)


def _said(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts by their names in RFC 5545."""
    rule = params.get("rule")
    if rule is None:
        return {name: params[key] for key, name in _PARAMETERS.items() if params.get(key) is not None}
    if not isinstance(rule, str) or not rule.strip() or len(rule) > _LONGEST:
        raise InvalidTimer(f"rule must be a recurrence rule of at most {_LONGEST} characters, such as FREQ=DAILY")
    said: dict[str, Any] = {}
    for part in rule.strip().upper().removeprefix("RRULE:").split(";"):
        name, equals, value = part.strip().partition("=")
        if not part.strip():
            continue
        if not equals or not value or name in said or name not in _PARAMETERS.values():
            raise InvalidTimer(f"{part.strip()[:40]!r} is not a part of a recurrence rule, or is given twice")
        said[name] = value
    return said


def _parts(said: Mapping[str, Any], zone: tzinfo) -> Parts:
    freq = str(said.get("FREQ", "")).upper()
    if freq == "SECONDLY":
        raise InvalidTimer("FREQ=SECONDLY is too often; use core.intervaltimer")
    if freq not in _FREQUENCIES:
        raise InvalidTimer(f"FREQ must be one of {', '.join(_FREQUENCIES)}")
    numbers: dict[str, Any] = {
        _FIELDS[name]: _numbers(name, said[name], *limits) for name, limits in _NUMBERS.items() if name in said
    }
    count = _one(said, "COUNT", _MOST_COUNT)
    if count is not None and "UNTIL" in said:
        raise InvalidTimer("COUNT and UNTIL exclude each other")
    return Parts(
        freq=freq,
        interval=_one(said, "INTERVAL", _MOST_INTERVAL) or 1,
        count=count,
        until=_until(said["UNTIL"], zone) if "UNTIL" in said else None,
        by_day=_weekdays(said["BYDAY"]) if "BYDAY" in said else (),
        week_start=_weekday("WKST", said["WKST"]) if "WKST" in said else 0,
        **numbers,
    )


def _items(name: str, value: Any) -> list[Any]:
    items = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    if not items or len(items) > _MOST_VALUES:
        raise InvalidTimer(f"{name} has 1 to {_MOST_VALUES} values")
    return items


def _integer(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,9}", value.strip(), re.ASCII):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _numbers(name: str, value: Any, least: int, most: int, negative: bool) -> tuple[int, ...]:
    found = [_integer(item) for item in _items(name, value)]
    kept = [item for item in found if item is not None and least <= (abs(item) if negative else item) <= most]
    if len(kept) != len(found):
        raise InvalidTimer(f"{name} takes numbers from {least} to {most}{', or the same negative' if negative else ''}")
    return tuple(kept)


def _one(said: Mapping[str, Any], name: str, most: int) -> int | None:
    if name not in said:
        return None
    found = _integer(said[name])
    if found is None or not 1 <= found <= most:
        raise InvalidTimer(f"{name} must be a whole number from 1 to {most}")
    return found


def _weekday(name: str, value: Any) -> int:
    text = str(value).strip().upper()
    if text not in _WEEKDAYS:
        raise InvalidTimer(f"{name} takes {', '.join(_WEEKDAYS)}; {text[:10]!r} is none")
    return _WEEKDAYS.index(text)


def _weekdays(value: Any) -> tuple[tuple[int, int], ...]:
    found = []
    for item in _items("BYDAY", value):
        match = re.fullmatch(r"([+-]?\d{1,2})?([A-Z]{2})", str(item).strip().upper(), re.ASCII)
        number = int(match[1] or 0) if match else 0
        if match is None or abs(number) > 53 or (match[1] and not number):
            raise InvalidTimer(f"BYDAY: {str(item)[:10]!r} is no weekday such as MO, or -1FR for the last Friday")
        found.append((_weekday("BYDAY", match[2]), number))
    return tuple(found)


def _until(value: Any, zone: tzinfo) -> datetime:
    """UNTIL is a date (its whole day), a time of the zone, or in UTC."""
    text = str(value).strip()
    match = re.fullmatch(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z)?)?", text, re.ASCII)
    if match is None:
        return read_moment("until", value, zone)
    try:
        hour, minute, second = (int(match[at]) for at in (4, 5, 6)) if match[4] else (23, 59, 59)
        wall = datetime(int(match[1]), int(match[2]), int(match[3]), hour, minute, second)
    except ValueError:
        raise InvalidTimer(f"UNTIL={text[:20]} is no moment") from None
    return wall.replace(tzinfo=UTC) if match[7] else moment_of(wall, zone)
