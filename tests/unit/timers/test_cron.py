"""What an expression means, where clocks go forward and back, and what is refused with a better one named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InvalidTimer
from agent.timers.cron import cron
from agent.timers.zones import zone_named

NY, BERLIN, LORD_HOWE = "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"
CASES = [
    ("30 2 * * *", NY, "2026-03-07T12:00", "2026-03-08T07:00 2026-03-09T06:30 2026-03-10T06:30"),
    ("30 1 * * *", NY, "2026-10-31T12:00", "2026-11-01T05:30 2026-11-02T06:30 2026-11-03T06:30"),
    ("0 * * * *", NY, "2026-11-01T04:30", "2026-11-01T05:00 2026-11-01T06:00 2026-11-01T07:00"),
    ("*/30 1 * * *", NY, "2026-11-01T05:15", "2026-11-01T05:30 2026-11-01T06:00 2026-11-01T06:30"),
    ("*/30 * * * *", NY, "2026-03-08T06:15", "2026-03-08T06:30 2026-03-08T07:00 2026-03-08T07:30"),
    ("0 0 * * *", "America/Santiago", "2026-09-05T12:00", "2026-09-06T04:00 2026-09-07T03:00 2026-09-08T03:00"),
    ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00", "2026-04-23T22:00 2026-04-24T21:00 2026-04-25T21:00"),
    ("30 2 * * 0", BERLIN, "2026-03-28T12:00", "2026-03-29T01:00 2026-04-05T00:30 2026-04-12T00:30"),
    ("15,45 2 * * *", BERLIN, "2026-03-28T12:00", "2026-03-29T01:00 2026-03-30T00:15 2026-03-30T00:45"),
    ("0 2,3 * * *", BERLIN, "2026-03-28T12:00", "2026-03-29T01:00 2026-03-30T00:00 2026-03-30T01:00"),
    ("30 2 * * *", BERLIN, "2026-10-24T12:00", "2026-10-25T00:30 2026-10-26T01:30 2026-10-27T01:30"),
    ("15 2 * * *", LORD_HOWE, "2026-10-03T00:00", "2026-10-03T15:30 2026-10-04T15:15 2026-10-05T15:15"),
    ("45 1 * * *", LORD_HOWE, "2026-04-03T00:00", "2026-04-03T14:45 2026-04-04T14:45 2026-04-05T15:15"),
    ("30 1 * * *", "Antarctica/Troll", "2026-03-28T12:00", "2026-03-29T01:00 2026-03-29T23:30 2026-03-30T23:30"),
    ("0 12 * * *", "Asia/Kathmandu", "2026-11-25T00:00", "2026-11-25T06:15 2026-11-26T06:15 2026-11-27T06:15"),
    ("0 0 29 2 *", "UTC", "2026-11-25T00:00", "2028-02-29T00:00 2032-02-29T00:00 2036-02-29T00:00"),
    ("0 0 31 * *", "UTC", "2026-11-25T00:00", "2026-12-31T00:00 2027-01-31T00:00 2027-03-31T00:00"),
    ("0 0 13 * 5", "UTC", "2026-11-25T00:00", "2026-11-27T00:00 2026-12-04T00:00 2026-12-11T00:00"),
    ("0 0 */2 * 1", "UTC", "2026-11-25T00:00", "2026-12-07T00:00 2026-12-21T00:00 2027-01-11T00:00"),
    ("0 0 * * 7", "UTC", "2026-11-25T00:00", "2026-11-29T00:00 2026-12-06T00:00 2026-12-13T00:00"),
    ("0 0 * * 0", "UTC", "2026-11-25T00:00", "2026-11-29T00:00 2026-12-06T00:00 2026-12-13T00:00"),
    ("0 0 L * *", "UTC", "2026-11-25T00:00", "2026-11-30T00:00 2026-12-31T00:00 2027-01-31T00:00"),
    ("0 0 * * 1#2", "UTC", "2026-11-25T00:00", "2026-12-14T00:00 2027-01-11T00:00 2027-02-08T00:00"),
    ("0 */5 * * *", "UTC", "2026-11-25T00:00", "2026-11-25T05:00 2026-11-25T10:00 2026-11-25T15:00"),
    ("59 59 23 31 12 *", "UTC", "2026-12-31T23:59", "2026-12-31T23:59:59 2027-12-31T23:59:59 2028-12-31T23:59:59"),
    # Six and seven fields: day and weekday must both hold, the year comes last, fixed times as with five.
    ("0 0 0 13 * 5", "UTC", "2026-11-25T00:00", "2027-08-13T00:00 2028-10-13T00:00 2029-04-13T00:00"),
    ("0 0 12 ? * MON", "UTC", "2026-11-25T00:00", "2026-11-30T12:00 2026-12-07T12:00 2026-12-14T12:00"),
    ("0 30 2 * * *", BERLIN, "2026-03-28T12:00", "2026-03-29T01:00 2026-03-30T00:30 2026-03-31T00:30"),
    ("0 30 2 * * *", BERLIN, "2026-10-24T12:00", "2026-10-25T00:30 2026-10-26T01:30 2026-10-27T01:30"),
    ("0 0 0 1 1 * 2028/2", "UTC", "2026-11-25T00:00", "2028-01-01T00:00 2030-01-01T00:00 2032-01-01T00:00"),
    ("0 0 0 1 1 * 2029", "Asia/Tokyo", "2026-11-25T00:00", "2028-12-31T15:00"),
    ("@weekly", "UTC", "2026-11-25T00:00", "2026-11-29T00:00 2026-12-06T00:00 2026-12-13T00:00"),
]


@pytest.mark.parametrize(("expression", "zone", "start", "wanted"), CASES)
def test_the_next_times(expression: str, zone: str, start: str, wanted: str) -> None:
    schedule, moment = cron(expression, zone_named(zone)), datetime.fromisoformat(start).replace(tzinfo=UTC)
    found = []
    for _ in range(3):
        moment_or_none = schedule.next_after(moment)
        if moment_or_none is None:
            break
        moment = moment_or_none
        found.append(moment.strftime("%Y-%m-%dT%H:%M:%S").removesuffix(":00" if moment.second == 0 else " "))
    assert found == wanted.split()


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("@reboot", "@daily"),
        ("* * * *", "has 4"),
        ("0 0 * * L5", "5L"),
        ("0 0 15W * *", "LW"),
        ("H * * * *", "Jenkins"),
        ("0 22-2 * * *", "upwards"),
        ("*/0 * * * *", "minute"),
        ("60 * * * *", "minute"),
        ("*/90 * * * *", "once in 60"),
        ("0 0 0 1 1 * 26", "year"),
        ("* * * * * * * *", "has 8"),
        ("", "expression"),
        (5, "expression"),
        ("1" * 201, "200"),
    ],
)
def test_what_is_refused_names_what_to_write(expression: object, said: str) -> None:
    with pytest.raises(InvalidTimer, match=said):
        cron(expression, UTC)


def test_what_never_comes_ends() -> None:
    assert cron("0 0 0 1 1 * 2020", UTC).next_after(datetime(2026, 1, 1, tzinfo=UTC)) is None
    assert cron("0 0 0 30 2 MON", UTC).next_after(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "x" * 70, 7])
def test_zones_are_known_by_name_only(zone: object) -> None:
    if zone == "":
        assert zone_named(zone) is UTC
        return
    with pytest.raises(InvalidTimer):
        zone_named(zone)


_numbers = st.integers(0, 23)


@given(
    minute=st.sampled_from(["*", "*/7", "0", "15,45", "30"]),
    hour=st.sampled_from(["*", "*/5", "1", "2", "2,3", "23"]),
    zone=st.sampled_from(["UTC", NY, BERLIN, LORD_HOWE, "Africa/Cairo"]),
    offset=st.integers(0, 366 * 86400),
)
def test_times_go_up_and_do_not_depend_on_where_one_begins(minute: str, hour: str, zone: str, offset: int) -> None:
    schedule = cron(f"{minute} {hour} * * *", zone_named(zone))
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=offset)
    first = schedule.next_after(start)
    assert first is not None
    assert start < first <= start + timedelta(days=2)
    assert schedule.next_after(first - timedelta(seconds=1)) == first
    second = schedule.next_after(first)
    assert second is not None
    assert second > first
