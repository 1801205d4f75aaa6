"""The thread that owns the sensors of this service: it looks at what is wanted, and has it run by exactly one of all.

Whatever happens is told to it; nothing else starts or stops a child, so nothing is started twice.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from agent.db.error_translation import may_pass
from agent.errors import DatabaseError
from agent.placement.candidate import Candidate
from agent.process import syscalls
from agent.sensors.child import Child, Report
from agent.sensors.claiming import claims, is_ours, unfit, unplaceable
from agent.sensors.life import Due, Phase
from agent.sensors.lock_session import LockSession
from agent.sensors.member import Alert, Member
from agent.sensors.model import ProcessRow, Sensor
from agent.sensors.store import SensorStore
from agent.threads import ThreadGroup

log = logging.getLogger(__name__)

#: Seconds between two looks at who runs what: a service that was killed is noticed by them.
LOOK = 1.5
#: Seconds without an answer on the session of the locks after which all children are ended: others may have the locks.
HOLD = 6.0
#: Seconds from SIGTERM to SIGKILL then. With ``HOLD`` less than what others wait before they take a lock over.
LOST_GRACE = 2.0
#: Seconds between two attempts to reach the database.
_AGAIN = 0.5
#: Seconds between two looks at what is wanted, at least, however many changes there are.
_LEAST_PAUSE = 0.05
_LONGEST_WAIT = 60.0
#: Of the time, the part that looking at what is wanted may take.
_READING = 0.2

Children = Callable[[Sensor, Callable[[Report], None], int | None], Child]


class SensorManager:
    """The body of the manager's thread, ``run``, and what others tell it."""

    def __init__(
        self,
        store: SensorStore,
        session: LockSession,
        children: Children,
        threads: ThreadGroup,
        *,
        me: int,
        only: Sequence[str],
        interval: float,
        token_lifetime: float,
        scores: Sequence[int | None],
        alert: Alert,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look every ``interval`` seconds; ``me`` is the service's id, ``only`` which sensors may run here.

        ``children`` makes a child of a sensor, which tells what happens to it and whose processes a score marks.

        ``scores`` has a mark for each sensor that may run at the same time. ``alert`` is told of a row that has failed
        again, and of the seconds to its next attempt.
        """
        self._store = store
        self._session = session
        self._children = children
        self._threads = threads
        self._me = me
        self._only = only
        self._interval = interval
        self._token_lifetime = token_lifetime
        self._scores = list(scores)
        self._alert = alert
        self._clock = clock
        self._members: dict[int, Member] = {}
        self._told: deque[Report] = deque()
        self._wake = syscalls.event()
        self._changed = True
        self._stopping = threading.Event()
        self._empty = threading.Event()
        self._wanted: dict[int, Sensor] = {}
        self._free_since: dict[int, float] = {}
        self._claims: dict[int, float] = {}
        self._reported: dict[int, str] = {}
        self._looked = self._read = self._tried = -1e9
        self._pause = _LEAST_PAUSE
        self._away = False

    # --- what others tell, from any thread ---

    def changed(self) -> None:
        """Note that something has changed: look now."""
        self._changed = True
        self._rouse()

    def stop(self) -> None:
        """End every child, then ``run``."""
        self._stopping.set()
        self._rouse()

    def kill(self) -> None:
        """Give what still runs no time to end; from any thread."""
        for member in list(self._members.values()):
            if member.child is not None:
                member.child.kill()

    def wait_empty(self, timeout: float) -> bool:
        """Wait until nothing runs any more after ``stop``; False when ``timeout`` seconds were not enough."""
        return self._empty.wait(timeout)

    def counts(self) -> dict[str, int]:
        """Return what the service advertises of its sensors."""
        members = list(self._members.values())
        running = [member for member in members if member.life.phase in (Phase.RUNNING, Phase.STOPPING)]
        return {
            "sensor_processes_monitored": len(members),
            "sensor_processes_running": len(running),
            "active_rules": sum(member.sensor.rules for member in members),
        }

    def guard_locks(self) -> None:
        """The body of the thread that ends all children when the locks may be somebody else's."""
        while not self._empty.wait(0.25):
            self.end_without_answer()

    def end_without_answer(self) -> None:
        """End all children when the session of the locks has not answered for too long; from any thread."""
        if self._clock() - self._session.answered <= HOLD:
            return
        running = [(member, member.child) for member in list(self._members.values()) if member.child is not None]
        for member, child in running:
            member.why = member.why or "the database was not to be reached: others may run it by now"
            child.stop(grace=LOST_GRACE)
        if running:
            self._session.interrupt()

    def _rouse(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _report(self, report: Report) -> None:
        self._told.append(report)
        self._rouse()

    # --- the thread ---

    def run(self) -> None:
        """Look, start and stop until ``stop``."""
        try:
            while not (self._stopping.is_set() and not self._members):
                self.turn()
        finally:
            self._empty.set()
            self._session.close()

    def turn(self) -> None:
        """One round of ``run``: take what was told, look, do what is due, write, wait for what comes next."""
        while self._told:
            self._take(self._told.popleft())
        self._look()
        now = self._clock()
        for member in list(self._members.values()):
            if self._stopping.is_set():
                member.life.want(None, now - 1.0)
            self._advance(member)
        self._write_rows()
        if self._session.wait(self._until_due(), self._wake):
            self._changed = True
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def _until_due(self) -> float:
        now = self._clock()
        if self._told or (self._stopping.is_set() and not self._members):
            return 0.0
        until = [now + _LONGEST_WAIT, self._looked + LOOK, self._read + self._interval, *self._claims.values()]
        if self._changed:
            until.append(self._read + self._pause)
        if self._away or any(member.unwritten for member in self._members.values()):
            until = [*until, now + _AGAIN] if not self._away else [self._tried + _AGAIN]
        until += [at for member in self._members.values() if (at := member.life.due_at()) is not None]
        return max(0.0, min(until) - now)

    # --- what is wanted, and whose it is ---

    def _look(self) -> None:
        now = self._clock()
        if self._away and now < self._tried + _AGAIN:
            return
        self._tried = now
        try:
            for sensor in self._session.restore():
                self._lose(sensor)
            if now - self._looked >= LOOK or self._changed or self._away:
                self._look_at_locks(now)
            due = any(at <= now for at in self._claims.values())
            if (self._changed and now >= self._read + self._pause) or now >= self._read + self._interval or due:
                self._changed = False
                self._reconcile(now)
        except DatabaseError as error:
            if not self._away:
                log.warning("can't look at which sensors are wanted: %s", error)
            self._away = True
            if now - self._session.answered > HOLD:
                self._lose_all()
            return
        if self._away:
            log.info("looking at which sensors are wanted again")
        self._away = False

    def _look_at_locks(self, now: float) -> None:
        others = [sensor for sensor in self._wanted if sensor not in self._session.held]
        free = self._session.free(others)
        self._looked = now
        if free - self._free_since.keys():
            self._changed = True
        self._free_since = {sensor: self._free_since.get(sensor, now) for sensor in free}

    def _reconcile(self, now: float) -> None:
        self._read = now
        wanted = {sensor.id: sensor for sensor in self._store.wanted() if is_ours(sensor.ref, self._only)}
        self._pause = max(_LEAST_PAUSE, (self._clock() - now) / _READING)
        known = self._wanted.keys()
        self._wanted = wanted
        if wanted.keys() - known:
            self._look_at_locks(now)
        services = self._store.services()
        me = next((service for service in services if service.id == self._me), None)
        for member in self._members.values():
            self._update(member, wanted.get(member.sensor.id), me, now)
        if self._stopping.is_set():
            self._claims = {}
            return
        self._claim(services, now)
        self._report_unplaceable(services)

    def _update(self, member: Member, sensor: Sensor | None, me: Candidate | None, now: float) -> None:
        """Tell a member what is wanted of it now."""
        if member.sensor.id not in self._session.held:
            sensor = None
        why = None if sensor is None or me is None else unfit(sensor, me)
        if sensor is None or why is not None:
            member.why = member.why or why
            member.life.want(None, now)
            return
        member.is_to_be(sensor, now)

    def _claim(self, services: Sequence[Candidate], now: float) -> None:
        free = [
            sensor
            for sensor in self._wanted.values()
            if sensor.id in self._free_since and sensor.id not in self._members
        ]
        self._claims = {}
        if not free:
            return
        processes = self._store.processes([sensor.id for sensor in free])
        for claim in claims(free, services, processes, me=self._me, free_since=self._free_since):
            if claim.at > now:
                self._claims[claim.sensor] = claim.at
            elif len(self._members) < len(self._scores) and self._session.take(claim.sensor):
                own = [one for one in processes if one.sensor == claim.sensor and one.worker == self._me]
                self._add(self._wanted[claim.sensor], now, alerted=own[0].last_alerted_failure_count if own else 0)

    def _report_unplaceable(self, services: Sequence[Candidate]) -> None:
        """Say in our rows why a free sensor runs nowhere, and take it back once it is not true any longer."""
        free = self._free_since.keys() & self._wanted.keys() - self._members.keys()
        for sensor in (self._wanted[one] for one in free):
            why = unplaceable(sensor, services, self._me)
            if why is not None and self._reported.get(sensor.id) != why:
                self._store.write(
                    ProcessRow(sensor.id, sensor.ref, "failed", active_rule_count=sensor.rules, reason=why)
                )
                self._reported[sensor.id] = why
        for sensor_id in self._reported.keys() - free:
            del self._reported[sensor_id]
            if sensor_id in self._wanted and sensor_id not in self._members:
                self._store.write(ProcessRow(sensor_id, self._wanted[sensor_id].ref, "stopped"))

    def _add(self, sensor: Sensor, now: float, *, alerted: int) -> None:
        self._free_since.pop(sensor.id, None)
        used = {member.score for member in self._members.values()}
        score = next((score for score in self._scores if score not in used), None)
        member = Member(sensor, score, alerted=alerted, token_lifetime=self._token_lifetime, alert=self._alert)
        member.is_to_be(sensor, now)
        self._members[sensor.id] = member

    def _lose(self, sensor: int) -> None:
        """Somebody else has a sensor's lock now."""
        member = self._members.get(sensor)
        if member is not None:
            log.warning("another service has taken over sensor %s", member.sensor.ref)
            member.why = "another service has taken it over"
            member.life.want(None, self._clock() - 1.0)

    def _lose_all(self) -> None:
        """The locks may be somebody else's: whatever runs has been told to end, and nothing is started."""
        self._session.drop()
        for member in self._members.values():
            member.life.want(None, self._clock() - 1.0)

    # --- one member ---

    def _advance(self, member: Member) -> None:
        """Do what is due for a member; forget it once nothing is left of it."""
        due = member.life.due(self._clock())
        if due is Due.START and member.sensor.id in self._session.held:
            self._start(member)
        elif due is Due.STOP:
            assert member.child is not None, "starting and running have one"
            member.child.stop()
            member.life.stopping()
        elif due is Due.START:
            member.life.want(None, self._clock())
        member.note()
        if member.life.over and member.child is None:
            self._remove(member)

    def _start(self, member: Member) -> None:
        child = self._children(member.sensor, self._report, member.score)
        member.begin(child, self._clock())
        self._threads.start(f"sensor-{member.sensor.id}", child.run)

    def _remove(self, member: Member) -> None:
        """Let another service have it, once the row says that nothing runs here."""
        if member.unwritten and not self._write(member):
            return
        del self._members[member.sensor.id]
        self._session.release(member.sensor.id)
        if member.life.phase is Phase.REFUSED:
            self._reported[member.sensor.id] = member.why or ""
            self._changed = True

    def _take(self, report: Report) -> None:
        """Note what a child tells."""
        member = next((one for one in self._members.values() if one.child is report.child), None)
        if member is not None:
            member.take(report, self._clock())

    def _write_rows(self) -> None:
        for member in list(self._members.values()):
            if member.unwritten and not self._write(member):
                return

    def _write(self, member: Member) -> bool:
        """Write a member's row; False where that has to be tried again."""
        try:
            self._store.write(member.row)
        except DatabaseError as error:
            if may_pass(error):
                return False
            log.error("the row of sensor %s can't be written: %s", member.sensor.ref, error)
        member.unwritten = False
        return True
