"""Recurrence rules agree with a library that has read RFC 5545 for twenty years, and end where it would not."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dateutil.rrule import rrulestr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agent.errors import InvalidTimer
from agent.timers.recurrence_text import recurrence
from agent.timers.zones import zone_named

START = datetime(2024, 1, 31, 9, 10, 20, tzinfo=UTC)


def times(rule: str, start: datetime = START, count: int = 6, zone: str = "UTC") -> list[datetime]:
    schedule = recurrence({"rule": rule, "dtstart": start.isoformat()}, zone_named(zone))
    found: list[datetime] = []
    moment = start - timedelta(seconds=1)
    while len(found) < count and (after := schedule.next_after(moment)) is not None:
        found.append(after)
        moment = after
    return found


def _list(values: Any, most: int = 3) -> st.SearchStrategy[str]:
    return st.lists(values, min_size=1, max_size=most, unique=True).map(lambda items: ",".join(map(str, items)))


_weekday = st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])
_signed = st.sampled_from([-2, -1, 1, 2, 15, 31])


@st.composite
def rules(draw: Any) -> str:
    freq = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]))
    parts = [f"FREQ={freq}", f"INTERVAL={draw(st.integers(1, 5))}"]

    def maybe(name: str, strategy: Any) -> None:
        if draw(st.booleans()):
            parts.append(f"{name}={draw(strategy)}")

    maybe("BYHOUR", _list(st.integers(0, 23)))
    maybe("BYMINUTE", _list(st.sampled_from([0, 10, 25, 59])))
    if freq in ("HOURLY", "MINUTELY"):
        maybe("BYDAY", _list(_weekday))
        return ";".join(parts)
    maybe("BYMONTH", _list(st.integers(1, 12)))
    maybe("WKST", _weekday)
    if freq == "YEARLY" and draw(st.booleans()):  # with weeks 52, 53, 1 beside months the two count another year's days
        parts.append(f"BYWEEKNO={draw(_list(st.sampled_from([2, 20, 33, 51])))}")
    elif freq != "WEEKLY" and draw(st.booleans()):
        parts.append(f"BYMONTHDAY={draw(_list(_signed))}")
    if freq in ("YEARLY", "MONTHLY") and "BYWEEKNO" not in ";".join(parts):
        # The library takes a plain weekday beside a numbered one as a further condition; RFC 5545 joins them.
        numbered = st.tuples(st.sampled_from(["1", "-1", "2"]), _weekday).map("".join)
        maybe("BYDAY", st.one_of(_list(_weekday), _list(numbered)))
    else:
        maybe("BYDAY", _list(_weekday))
    if freq in ("YEARLY", "MONTHLY"):
        maybe("BYSETPOS", st.sampled_from(["1", "-1", "1,-1"]))
    return ";".join(parts)


@settings(phases=(Phase.explicit, Phase.generate))  # the library walks from the start: looking for less is slow
@given(rule=rules(), day=st.integers(0, 800), later=st.floats(0, 1))
def test_the_next_time_is_the_librarys(rule: str, day: int, later: float) -> None:
    start = START + timedelta(days=day)
    after = start + timedelta(seconds=int(later * 86400 * (2 if "MINUTELY" in rule or "HOURLY" in rule else 400)))
    ours = recurrence({"rule": rule, "dtstart": start.isoformat()}, UTC).next_after(after)
    if ours is None:  # the library would look until the year 9999
        return
    bounded = f"{rule};UNTIL={(ours + timedelta(days=1)).strftime('%Y%m%dT%H%M%SZ')}"
    assert rrulestr(bounded, dtstart=start).after(after) == ours


def test_a_count_counts_from_the_start() -> None:
    assert times("FREQ=DAILY;COUNT=3") == [START + timedelta(days=at) for at in range(3)]


def test_until_is_the_last_that_may_come() -> None:
    assert len(times("FREQ=DAILY;UNTIL=20240202T091020Z")) == 3
    assert len(times("FREQ=DAILY;UNTIL=20240202")) == 3


def test_days_are_counted_on_the_zones_calendar() -> None:
    schedule = recurrence({"freq": "monthly", "dtstart": "2024-01-31T00:00:00"}, zone_named("Europe/Berlin"))
    moment, found = datetime(2026, 11, 25, tzinfo=UTC), []
    for _ in range(3):
        after = schedule.next_after(moment)
        assert after is not None
        moment = after
        found.append(moment.strftime("%Y-%m-%dT%H:%M"))
    assert found == ["2026-12-30T23:00", "2027-01-30T23:00", "2027-03-30T22:00"]


def test_a_time_that_clocks_leave_out_comes_right_after() -> None:
    start = datetime(2026, 3, 28, 1, 30, tzinfo=UTC)  # 02:30 in Berlin
    found = times("FREQ=DAILY", start, 3, "Europe/Berlin")
    assert [item.strftime("%d %H:%M") for item in found] == ["28 01:30", "29 01:00", "30 00:30"]


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31",
        "FREQ=MONTHLY;BYDAY=-1FR;BYSETPOS=5",
        "FREQ=WEEKLY;BYMONTH=4;BYMONTHDAY=31",
        "FREQ=HOURLY;INTERVAL=24;BYHOUR=10",
        "FREQ=MINUTELY;INTERVAL=1440;BYHOUR=3",
        "FREQ=YEARLY;BYMONTH=12;BYWEEKNO=10",
    ],
)
def test_a_rule_that_never_comes_ends_soon(rule: str) -> None:
    before = time.process_time()
    assert times(rule) == []
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"rule": "FREQ=SECONDLY"}, "intervaltimer"),
        ({"rule": "FREQ=HOURLY;BYMONTH=2"}, "FREQ=DAILY"),
        ({"rule": "FREQ=DAILY;COUNT=3;UNTIL=20300101"}, "exclude"),
        ({"rule": "FREQ=DAILY;FREQ=DAILY"}, "twice"),
        ({"rule": "FREQ=DAILY;EXDATE=1"}, "not a part"),
        ({"rule": "FREQ=WEEKLY;BYDAY=2MO"}, "MONTHLY"),
        ({"rule": "FREQ=MONTHLY;BYDAY=XX"}, "BYDAY"),
        ({"rule": "FREQ=MONTHLY;BYMONTHDAY=0"}, "from 1 to 31"),
        ({"rule": "FREQ=DAILY;COUNT=1000000"}, "10000"),
        ({"rule": "FREQ=DAILY;UNTIL=20301399"}, "UNTIL"),
        ({"freq": "DAILY", "by_hour": [True]}, "BYHOUR"),
        ({"freq": "DAILY", "interval": 0}, "INTERVAL"),
        ({"rule": 7}, "rule"),
        ({}, "FREQ"),
        ({"freq": "DAILY", "dtstart": "soon"}, "dtstart"),
    ],
)
def test_what_is_refused_says_why(params: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidTimer, match=said):
        recurrence({"dtstart": "2024-01-01T00:00:00Z"} | params, UTC)
