"""Cron expressions of five, six (seconds first) and seven (year last) fields (pure).

With five fields the rules are Debian's: a fixed time that clocks leave out comes once, right after; one that they show
twice comes the first time; what recurs by ``*`` follows the real hours. Day of month and day of week are alternatives
unless one begins with ``*``. With six or seven fields both must hold, as in Attune's own timer.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from cronsim import CronSim, CronSimError

from agent.errors import InvalidTimer

_SHORTHANDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = ("second", "minute", "hour", "day of month", "month", "day of week")
#: How many values a field has: a longer step would silently mean "once".
_WIDTHS = (60, 60, 24, 31, 12, 7)
_DAYS, _WEEKDAYS = 3, 5
_LONGEST = 200
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
#: What has no time within so many years has none: 29 February comes after eight at the latest.
_YEARS = 8
_SECOND = timedelta(seconds=1)


class _Calendar(CronSim):
    """The library's search, with our answers to what crons disagree about."""

    def __init__(self, fields: Sequence[str], after: datetime, zone: tzinfo, *, both_days: bool) -> None:
        super().__init__(" ".join(fields), after.astimezone(zone))
        self.day_and = self.day_and or both_days
        fixed = not any(field.startswith("*") for field in fields[:3])
        if zone is not UTC and fixed and self.fixup_tz is None:  # else only five fields get what Debian does
            self.fixup_tz = zone
            self.dt = self.dt.replace(tzinfo=None)


@dataclass(frozen=True)
class Cron:
    """One expression in one zone; made by ``cron``."""

    expression: str
    zone: tzinfo
    fields: tuple[str, ...]
    both_days: bool
    years: Container[int] | None

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first time after ``moment``, in UTC; None when there is none within eight years."""
        start = moment.astimezone(UTC)
        last = start.year + _YEARS
        while True:
            found = self._first(start, last)
            if found is None or self.years is None or (year := found.astimezone(self.zone).year) in self.years:
                return found
            later = next((y for y in range(year + 1, last + 1) if y in self.years), None)
            if later is None:
                return None
            # A day early: the zone's year may have begun before UTC's.
            start = max(start, datetime(later, 1, 1, tzinfo=UTC) - timedelta(days=1, seconds=1))
            if found > start:
                start = found

    def _first(self, after: datetime, last_year: int) -> datetime | None:
        for found in _Calendar(self.fields, after, self.zone, both_days=self.both_days):
            if found.year > last_year:
                return None
            moment = found.astimezone(UTC)
            if moment > after:  # in a repeated hour the search can begin before it
                return moment
        return None


def cron(expression: object, zone: tzinfo) -> Cron:
    """Read an expression.

    Raises:
        InvalidTimer: it is none; the message says what to write instead.
    """
    if not isinstance(expression, str) or not expression.strip():
        raise InvalidTimer("expression must be a cron expression such as '*/5 * * * *'")
    text = expression.strip()
    if len(text) > _LONGEST:
        raise InvalidTimer(f"a cron expression has at most {_LONGEST} characters")
    if text.startswith("@") and text.lower() not in _SHORTHANDS:
        known = ", ".join(sorted(_SHORTHANDS))
        raise InvalidTimer(f"{text[:40]} is not a repeating time; use {known}, or five fields")
    fields = _SHORTHANDS.get(text.lower(), text).upper().split()
    if len(fields) not in (5, 6, 7):
        raise InvalidTimer(
            f"a cron expression has 5 fields (minute hour day month weekday), 6 with seconds first, 7 with the year "
            f"last; {text[:60]!r} has {len(fields)}"
        )
    both = len(fields) > 5
    years = _years(fields.pop()) if len(fields) == 7 else None
    if not both:
        fields.insert(0, "0")
    else:
        fields = ["*" if field == "?" and at in (_DAYS, _WEEKDAYS) else field for at, field in enumerate(fields)]
    for name, width, field in zip(_FIELDS, _WIDTHS, fields, strict=True):
        _check(name, width, field)
    found = Cron(text, zone, tuple(fields), both, years)
    try:
        _Calendar(found.fields, datetime(2024, 1, 1, tzinfo=UTC), UTC, both_days=both)
    except CronSimError as error:
        name = str(error).removeprefix("Bad ").replace("day-of-", "day of ")
        raise InvalidTimer(f"{text[:60]!r}: the field for the {name} can't be read{_hint(fields, name)}") from error
    return found


def _check(name: str, width: int, field: str) -> None:
    for term in field.split(","):
        _, slash, step = term.partition("/")
        if slash and step.isascii() and step.isdigit() and int(step[:9]) > width:
            raise InvalidTimer(f"the {name} {term[:20]} would come once in {width}: write the one value that is meant")


def _hint(fields: Sequence[str], name: str) -> str:
    field = dict(zip(_FIELDS, fields, strict=True)).get(name, "")
    if name == "day of month" and field.endswith("W"):
        return ": the nearest weekday (W) is not known, LW is the last weekday of the month"
    if name == "day of week" and re.fullmatch(r"L\d", field):
        return f": write {field[1]}L for the last one of the month"
    if re.fullmatch(r"\d+-\d+", field):
        return f": a range goes upwards; write {field.split('-')[0]}-…,…-{field.split('-')[1]} as two"
    if field == "H":
        return ": H is a way of Jenkins; write a number"
    return f": {field[:20]!r}"


def _years(field: str) -> Container[int] | None:
    if field in ("*", "?"):
        return None
    found: set[int] = set()
    for term in field.split(","):
        match = re.fullmatch(r"(?:\*|(\d{4})(?:-(\d{4}))?)(?:/(\d{1,3}))?", term)
        step = int(match[3] or 1) if match else 0
        first = int(match[1] or _FIRST_YEAR) if match else 0
        last = int(match[2] or (match[1] if match[1] and not match[3] else _LAST_YEAR)) if match else 0
        if not match or step < 1 or not _FIRST_YEAR <= first <= last <= _LAST_YEAR:
            raise InvalidTimer(f"the year {term[:20]!r} can't be read; write 2027, 2027-2030 or 2026/2")
        found.update(range(first, last + 1, step))
    return frozenset(found)
