"""Timers keep their phase, missed times follow the rule's policy, and what is no timer harms no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.timers.payload import event_of, key_of
from agent.timers.rule import TimerRule, read_rules
from agent.timers.schedule import CRON, INTERVAL, ONCE
from agent.timers.timetable import Timetable

START = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def interval(key: int, seconds: int = 10, created: float = 0, **params: Any) -> TimerRule:
    return TimerRule(key, f"p.r{key}", INTERVAL, {"interval": seconds} | params, at(created), at(created))


def ticks(table: Timetable, now: float) -> list[tuple[int, float]]:
    return [(tick.rule.id, (tick.scheduled_at - START).total_seconds()) for tick in table.due(at(now))]


def test_an_interval_comes_first_after_one_interval_and_keeps_its_phase_when_other_rules_change() -> None:
    table = Timetable(START)
    table.replace([INTERVAL], [interval(1)], at(0))
    assert ticks(table, 9.9) == []
    assert table.next_at == at(10)
    assert [rule.id for rule in table.replace([INTERVAL], [interval(1), interval(2, 7, 3)], at(5))] == [2]
    assert ticks(table, 20) == [(1, 10), (2, 10), (2, 17), (1, 20)]
    assert table.replace([INTERVAL], [interval(1)], at(21)) == []
    assert ticks(table, 30) == [(1, 30)]


def test_a_changed_rule_gets_a_new_timer_and_a_deleted_one_is_silent() -> None:
    table = Timetable(START)
    table.replace([INTERVAL], [interval(1), interval(2)], at(0))
    changed = TimerRule(1, "p.r1", INTERVAL, {"interval": 4}, at(0), at(5))
    assert [rule.id for rule in table.replace([INTERVAL], [changed], at(5))] == [1]
    assert ticks(table, 12) == [(1, 8), (1, 12)]


def test_only_the_named_triggers_rules_are_replaced() -> None:
    table = Timetable(START)
    cron = TimerRule(7, "p.c", CRON, {"expression": "* * * * *"}, START, START)
    table.replace([CRON], [cron], at(0))
    table.replace([INTERVAL], [interval(1)], at(0))
    assert len(table) == 2
    table.replace([INTERVAL], [], at(1))
    assert ticks(table, 60) == [(7, 60)]


def test_a_burst_of_a_hundred_changes_leaves_one_timer_each() -> None:
    table = Timetable(START)
    for round_ in range(100):
        table.replace([INTERVAL], [interval(key, 10 + round_) for key in range(100)], at(0))
    assert len(ticks(table, 109)) == 100


def test_what_is_late_by_less_than_a_minute_still_comes() -> None:
    table = Timetable(START)
    table.replace([INTERVAL], [interval(1, 30)], at(0))
    assert ticks(table, 85) == [(1, 30), (1, 60)]


def test_missed_times_are_skipped_unless_the_rule_wants_one_event_for_them() -> None:
    table = Timetable(START)
    table.replace([INTERVAL], [interval(1, 30), interval(2, 30, missed="once")], at(0))
    found = table.due(at(600))
    assert [(tick.rule.id, tick.scheduled_at) for tick in found if tick.rule.id == 1] == [(1, at(570)), (1, at(600))]
    (made_up, *rest) = [tick for tick in found if tick.rule.id == 2]
    assert (made_up.scheduled_at, made_up.missed) == (at(540), 17)
    assert event_of(made_up, at(600), "core.timer_sensor")["payload"]["missed_count"] == 18
    assert [tick.scheduled_at for tick in rest] == [at(570), at(600)]


def test_what_was_missed_longer_ago_than_the_window_does_not_count() -> None:
    table = Timetable(START)
    table.replace([INTERVAL], [interval(1, 30, missed="once", catchup_seconds=100)], at(0))
    (made_up, *_) = table.due(at(6000))
    assert made_up.missed == 3  # 5850, 5880, 5910, 5940


def test_a_process_that_comes_later_makes_up_only_for_the_time_without_one() -> None:
    table = Timetable(at(300))
    table.replace([INTERVAL], [interval(1, 30, missed="once")], at(600))
    (made_up, *_) = table.due(at(600))
    assert made_up.missed == 7  # 330, 360, ... 540


def test_a_moment_that_has_passed_comes_only_where_it_is_asked_for() -> None:
    table = Timetable(START)
    rules = [
        TimerRule(1, "p.past", ONCE, {"fire_at": at(-500).isoformat()}, at(0), at(0)),
        TimerRule(2, "p.soon", ONCE, {"fire_at": at(5).isoformat()}, at(0), at(0)),
    ]
    table.replace([ONCE], rules, at(0))
    assert ticks(table, 6) == [(2, 5)]
    assert table.next_at is None


def test_a_rule_that_is_no_timer_is_named_once_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    table = Timetable(START)
    broken = interval(1, 0)
    for _ in range(3):
        table.replace([INTERVAL], [broken, interval(2)], at(0))
    assert ticks(table, 10) == [(2, 10)]
    assert [record.message for record in caplog.records].count(
        "rule p.r1 has no timer: interval must be a whole number from 1 on"
    ) == 1


def test_a_unit_of_another_type_is_no_timer(caplog: pytest.LogCaptureFixture) -> None:
    rules = [TimerRule(1, "p.odd", INTERVAL, {"interval": 1, "unit": ["seconds"]}, at(0), at(0)), interval(2)]
    table = Timetable(START)
    table.replace([INTERVAL], rules, at(0))
    assert ticks(table, 10) == [(2, 10)]
    assert "unit must be one of" in caplog.text


def test_rules_are_read_whatever_stands_in_the_list() -> None:
    items = [
        None, 3, {}, {"id": True}, {"id": 1}, {"id": 2, "trigger_ref": "other.trigger"},
        {"id": 3, "ref": "p.a", "trigger_params": {"interval": 1}, "created": "2026-01-01T00:00:00Z"},
        {"id": 4, "ref": "p.b", "config": [], "created": "?", "enabled": False},
        {"id": 5, "ref": "p.c", "config": {"interval": 2}, "updated": "2099-01-01T00:00:00Z"},
    ]  # fmt: skip
    found = list(read_rules(items, now=START, trigger_ref=INTERVAL))
    assert [(rule.id, dict(rule.params), rule.since <= START) for rule in found] == [
        (1, {}, True), (3, {"interval": 1}, True), (5, {"interval": 2}, True)
    ]  # fmt: skip
    assert list(read_rules({"a": 1}, now=START)) == []


def test_the_same_tick_has_the_same_key_in_every_process() -> None:
    one, other = Timetable(START), Timetable(at(-50))
    for table in (one, other):
        table.replace([INTERVAL], [interval(1)], at(0))
    assert [key_of(tick) for tick in one.due(at(20))] == [key_of(tick) for tick in other.due(at(20))]
