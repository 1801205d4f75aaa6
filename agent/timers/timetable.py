"""All timers of a process in one heap: what is due, and when the next one is (pure but for its state)."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.errors import InvalidTimer
from agent.timers.rule import TimerRule
from agent.timers.schedule import TimerPlan, plan

log = logging.getLogger(__name__)

#: A time that is no longer past than this is late, not missed.
_LATE = timedelta(seconds=60)
#: How many missed times are counted one by one.
_MOST_COUNTED = 1000


@dataclass(frozen=True)
class Tick:
    """One event that is due. ``missed`` is how many times it stands for beyond itself; ``next_at`` comes after it."""

    rule: TimerRule
    plan: TimerPlan
    scheduled_at: datetime
    count: int
    missed: int = 0
    next_at: datetime | None = None


class _Timer:
    def __init__(self, rule: TimerRule, plan_: TimerPlan) -> None:
        self.rule = rule
        self.plan = plan_
        self.at: datetime | None = None
        self.count = 0


class Timetable:
    """For one thread. Times are in UTC and given by the caller, so that a test is its own clock."""

    def __init__(self, since: datetime) -> None:
        """``since`` is when somebody last looked after these rules: what fell due later may be made up for."""
        self._since = since
        self._timers: dict[int, _Timer] = {}
        self._refused: dict[int, str] = {}
        self._heap: list[tuple[datetime, int, _Timer]] = []

    def __len__(self) -> int:
        return len(self._timers)

    @property
    def next_at(self) -> datetime | None:
        """When the next timer is due."""
        while self._heap and self._heap[0][0] != self._heap[0][2].at:
            heapq.heappop(self._heap)  # its rule has gone or has changed
        return self._heap[0][0] if self._heap else None

    def replace(self, triggers: Iterable[str], rules: Iterable[TimerRule], now: datetime) -> list[TimerRule]:
        """Let ``rules`` be all enabled rules of ``triggers``; return those whose timers are new or different.

        The others go on as they are, in their phase. A rule that describes no timer is named in the log, once.
        """
        wanted = {rule.id: rule for rule in rules}
        owned = set(triggers)
        for known in [key for key, timer in self._timers.items() if timer.rule.trigger_ref in owned]:
            if known not in wanted:
                self._timers.pop(known).at = None
        changed = []
        for rule in wanted.values():
            timer = self._timers.get(rule.id)
            if (timer is not None and timer.rule.asked == rule.asked) or self._refused.get(rule.id) == rule.asked:
                continue
            if timer is not None:
                self._timers.pop(rule.id).at = None
            if self._set(rule, now):
                changed.append(rule)
        return changed

    def _set(self, rule: TimerRule, now: datetime) -> bool:
        try:
            timer = _Timer(rule, plan(rule.trigger_ref, rule.params, rule.created))
        except InvalidTimer as error:
            log.warning("rule %s has no timer: %s", rule.ref or rule.id, error, extra={"rule": rule.id})
            self._refused[rule.id] = rule.asked
            return False
        self._refused.pop(rule.id, None)
        self._timers[rule.id] = timer
        self._arm(timer, min(now, max(self._since, rule.since)))
        if timer.at is None:
            log.warning("rule %s never fires: there is no time after now", rule.ref or rule.id, extra={"rule": rule.id})
        return True

    def _arm(self, timer: _Timer, after: datetime) -> None:
        timer.at = timer.plan.schedule.next_after(after)
        if timer.at is not None:
            heapq.heappush(self._heap, (timer.at, timer.rule.id, timer))

    def due(self, now: datetime) -> list[Tick]:
        """Return what is due at ``now``, in order, and set those timers again."""
        ticks = []
        while (at := self.next_at) is not None and at <= now:
            timer = heapq.heappop(self._heap)[2]
            if now - at > _LATE:
                tick = self._missed(timer, at, now)
            else:
                timer.count += 1
                self._arm(timer, at)
                tick = Tick(timer.rule, timer.plan, at, timer.count, next_at=timer.at)
            if tick is not None:
                ticks.append(tick)
        return ticks

    def _missed(self, timer: _Timer, first: datetime, now: datetime) -> Tick | None:
        """Nobody was there at ``first``: go on from now, after one event for everything where the rule asks for it."""
        latest = now - _LATE
        found: datetime | None = None
        count = 0
        if timer.plan.missed == "once":
            begin = max(first, latest - timedelta(seconds=timer.plan.catchup))
            at: datetime | None = first if begin == first else timer.plan.schedule.next_after(begin)
            while at is not None and at <= latest:
                found = at
                count += 1
                at = timer.plan.schedule.next_after(at if count < _MOST_COUNTED else latest - timedelta(seconds=1))
                if count > _MOST_COUNTED:
                    break
        log.info("rule %s: times from %s on were missed", timer.rule.ref or timer.rule.id, first.isoformat())
        self._arm(timer, latest)
        if found is None:
            return None
        timer.count += 1
        return Tick(timer.rule, timer.plan, found, timer.count, count - 1, timer.at)
