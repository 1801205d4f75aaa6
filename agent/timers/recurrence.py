"""Recurrence rules (RFC 5545) whose search ends: nothing within eight years means never (pure).

Days are counted on the calendar of the zone and then looked up in it. A library's search goes on to the year 9999 where
nothing matches, minute by minute if need be; anybody may write a rule, so ours must not.
"""

from __future__ import annotations

import calendar
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property
from itertools import islice, product

from agent.timers.zones import moment_of

_YEARS = 8
_DAY = timedelta(days=1)
#: Days that may hold the next time of a rule which skips periods: eight of its own periods, at least eight years.
_HORIZON = 366 * _YEARS


@dataclass(frozen=True)
class Parts:
    """What a rule says. ``by_day`` is pairs of weekday (0 is Monday) and number in the period, 0 for each one."""

    freq: str
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    by_month: tuple[int, ...] = ()
    by_week_no: tuple[int, ...] = ()
    by_year_day: tuple[int, ...] = ()
    by_month_day: tuple[int, ...] = ()
    by_day: tuple[tuple[int, int], ...] = ()
    by_hour: tuple[int, ...] = ()
    by_minute: tuple[int, ...] = ()
    by_second: tuple[int, ...] = ()
    by_set_pos: tuple[int, ...] = ()
    week_start: int = 0


@dataclass(frozen=True)
class Recurrence:
    """The times of a rule from ``start``, a time on the clocks of ``zone``; ``until`` is a moment in UTC."""

    parts: Parts
    start: datetime
    zone: tzinfo

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first time after ``moment``, in UTC."""
        if self.parts.count is not None:
            at = bisect_right(self._counted, moment)
            return self._counted[at] if at < len(self._counted) else None
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        # Two days early: in a gap, a time is later than its name.
        for found in self._moments(max(self.start, local - 2 * _DAY)):
            if found > moment:
                return found
        return None

    @cached_property
    def _counted(self) -> list[datetime]:
        return sorted(islice(self._moments(self.start), self.parts.count))

    def _moments(self, begin: datetime) -> Iterator[datetime]:
        until = self.parts.until
        last: datetime | None = None
        for wall in self._walls(begin):
            found = moment_of(wall, self.zone)
            if until is not None and found > until:
                return
            if found != last:  # two times in one gap are one moment
                yield found
            last = found

    def _walls(self, begin: datetime) -> Iterator[datetime]:
        """Yield times on the clock from the period of ``begin`` on, ordered; none before the rule's start."""
        parts = self.parts
        times = self._times()
        found_at = begin
        for days in self._periods(begin.date()):
            if days[0] - found_at.date() > timedelta(days=_HORIZON * (parts.interval if parts.freq == "YEARLY" else 1)):
                return
            matching = [day for day in days if self._matches(day)]
            walls = [datetime.combine(day, at) for day, at in product(matching, times) if self._on_step(day, at)]
            if parts.by_set_pos:
                walls = sorted({walls[at] for at in map(_index, parts.by_set_pos) if -len(walls) <= at < len(walls)})
            for wall in walls:
                if wall >= self.start:
                    found_at = max(found_at, wall)
                    yield wall

    def _periods(self, begin: date) -> Iterator[list[date]]:
        """Yield the days of each period that counts, from the one that holds ``begin`` on."""
        parts, first = self.parts, self.start.date()
        try:
            if parts.freq == "YEARLY":
                year = first.year + (begin.year - first.year) // parts.interval * parts.interval
                while True:
                    yield _days(date(year, 1, 1), 366 if calendar.isleap(year) else 365)
                    year += parts.interval
            elif parts.freq == "MONTHLY":
                month = first.year * 12 + first.month - 1
                month += (begin.year * 12 + begin.month - 1 - month) // parts.interval * parts.interval
                while True:
                    year, at = divmod(month, 12)
                    yield _days(date(year, at + 1, 1), calendar.monthrange(year, at + 1)[1])
                    month += parts.interval
            else:
                weekly = parts.freq == "WEEKLY"
                length = 7 if weekly else 1
                day = first - timedelta(days=(first.weekday() - parts.week_start) % 7) if weekly else first
                step = length * (parts.interval if parts.freq in ("WEEKLY", "DAILY") else 1)
                day += timedelta(days=(begin - day).days // step * step)
                while True:
                    yield _days(day, length)
                    day += timedelta(days=step)
        except (ValueError, OverflowError):  # the end of the calendar
            return

    def _times(self) -> list[time]:
        parts, start = self.parts, self.start
        sub_daily = parts.freq in ("HOURLY", "MINUTELY")
        hours = parts.by_hour or (range(24) if sub_daily else (start.hour,))
        minutes = parts.by_minute or (range(60) if parts.freq == "MINUTELY" else (start.minute,))
        seconds = parts.by_second or (start.second,)
        return [time(*at) for at in product(sorted(set(hours)), sorted(set(minutes)), sorted(set(seconds)))]

    def _on_step(self, day: date, at: time) -> bool:
        """Whether the hour or minute is one of those that the interval counts."""
        parts, start = self.parts, self.start
        if parts.freq not in ("HOURLY", "MINUTELY") or parts.interval == 1:
            return True
        hours = (day - start.date()).days * 24 + at.hour - start.hour
        passed = hours if parts.freq == "HOURLY" else hours * 60 + at.minute - start.minute
        return passed % parts.interval == 0

    def _matches(self, day: date) -> bool:
        parts = self._with_defaults
        if parts.by_month and day.month not in parts.by_month:
            return False
        last = calendar.monthrange(day.year, day.month)[1]
        if parts.by_month_day and not _hit(parts.by_month_day, day.day, last):
            return False
        if parts.by_year_day or parts.by_day:
            length, of_year = 366 if calendar.isleap(day.year) else 365, day.timetuple().tm_yday
            if parts.by_year_day and not _hit(parts.by_year_day, of_year, length):
                return False
            yearly = parts.freq == "YEARLY" and not parts.by_month
            at, span = (of_year, length) if yearly else (day.day, last)
            if parts.by_day and not any(_is_weekday(day, wanted, at, span) for wanted in parts.by_day):
                return False
        return not parts.by_week_no or _hit(parts.by_week_no, *_week(day, parts.week_start))

    @cached_property
    def _with_defaults(self) -> Parts:
        """Where no part says which days count, the first one does."""
        parts, start = self.parts, self.start
        said = parts.by_week_no or parts.by_year_day or parts.by_month_day or parts.by_day
        if said or parts.freq in ("DAILY", "HOURLY", "MINUTELY"):
            return parts
        values = dict(parts.__dict__)
        if parts.freq == "WEEKLY":
            return Parts(**values | {"by_day": ((start.weekday(), 0),)})
        if parts.freq == "YEARLY":
            values["by_month"] = parts.by_month or (start.month,)
        return Parts(**values | {"by_month_day": (start.day,)})


def _days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=at) for at in range(count)]


def _index(position: int) -> int:
    return position - 1 if position > 0 else position


def _hit(wanted: tuple[int, ...], at: int, length: int) -> bool:
    return at in wanted or at - length - 1 in wanted


def _is_weekday(day: date, wanted: tuple[int, int], at: int, span: int) -> bool:
    weekday, number = wanted
    if day.weekday() != weekday:
        return False
    return number in (0, (at - 1) // 7 + 1, -((span - at) // 7 + 1))


def _week(day: date, week_start: int) -> tuple[int, int]:
    """Return the number of the week and how many its year has; the first week is the first with four days."""
    fourth = day + timedelta(days=3 - (day.weekday() - week_start) % 7)  # it lies in the year of its week
    number = (fourth.timetuple().tm_yday - 1) // 7 + 1
    dec_28 = date(fourth.year, 12, 28)
    last = dec_28 + timedelta(days=3 - (dec_28.weekday() - week_start) % 7)
    return number, (last.timetuple().tm_yday - 1) // 7 + 1


def zone_start(moment: datetime, zone: tzinfo) -> datetime:
    """Return what the clocks of the zone show at ``moment``, to the second."""
    return moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None, microsecond=0)
