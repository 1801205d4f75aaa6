"""The timer sensor: one process for the timers of all rules, a child of the sensor service like any other sensor."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.errors import AgentError, ConfigurationError
from agent.reading.json_text import read_json
from agent.settings import NetworkSettings
from agent.threads import ThreadGroup
from agent.timers.follower import Follower
from agent.timers.payload import event_of, key_of
from agent.timers.rule import read_rules
from agent.timers.schedule import TRIGGERS
from agent.timers.sensor_token import RENEWAL, SensorToken
from agent.timers.timetable import Timetable
from agent.timers.waiting_events import WaitingEvents
from agent.transport.address import ServerAddress, server_address
from agent.transport.connection import ServerConnection

log = logging.getLogger(__name__)

#: Seconds after which the wall clock is read again, however far the next timer is: it may have been set.
_LONGEST_WAIT = 30.0
#: Seconds that waiting events get when this process is told to end.
_FLUSH = 2.0
#: Seconds for an answer that the server holds back, and one that it doesn't.
_HELD_PATIENCE, _PATIENCE = 60.0, 10.0
#: Ended because only the service can give us a new token.
_TOKEN_OVER = 75
_LONGEST_VARIABLE = 16 << 20


@dataclass(frozen=True)
class TimerSettings:
    """What the service tells a sensor in its environment; ``absent_since`` is when it last ran anywhere."""

    address: ServerAddress
    token: str
    sensor_ref: str
    instances: object
    absent_since: datetime | None


def timer_settings(environ: Mapping[str, str]) -> TimerSettings:
    """Read the environment.

    Raises:
        ConfigurationError: a variable is missing or malformed.
    """
    missing = [name for name in ("ATTUNE_API_URL", "ATTUNE_API_TOKEN", "ATTUNE_SENSOR_REF") if not environ.get(name)]
    if missing:
        raise ConfigurationError(
            f"the timer sensor needs {', '.join(missing)}",
            hint="the service that starts sensors sets them; docs/reference/timers.md says what they hold",
        )
    text = environ.get("ATTUNE_SENSOR_TRIGGERS", "[]")
    try:
        instances = read_json(text[:_LONGEST_VARIABLE])
        absent = environ.get("ATTUNE_SENSOR_ABSENT_SINCE")
        since = None if not absent else datetime.fromisoformat(absent).astimezone(UTC)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"ATTUNE_SENSOR_TRIGGERS or ATTUNE_SENSOR_ABSENT_SINCE: {error}") from None
    address = server_address(environ["ATTUNE_API_URL"], NetworkSettings(), environ)
    return TimerSettings(address, environ["ATTUNE_API_TOKEN"], environ["ATTUNE_SENSOR_REF"], instances, since)


class TimerService:
    """The timers' thread is the caller's; a sender and a follower for each trigger run beside it."""

    def __init__(
        self, settings: TimerSettings, stop: threading.Event, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Prepare; nothing is sent yet. ``stop`` ends ``run``."""
        self._settings = settings
        self._now = now
        self._stop = stop
        self._news = threading.Condition()
        self._rules: dict[str, object] = {}
        self._parent = os.getppid()
        self._failed = False
        self._sending = ServerConnection(settings.address, None, patience=_PATIENCE)
        self._token = SensorToken(settings.token, self._exchange)
        started = now()
        self._timetable = Timetable(min(settings.absent_since or started, started))
        sender = ServerConnection(settings.address, self._token, patience=_PATIENCE)
        self._events = WaitingEvents(
            lambda path, body, headers: sender.request("POST", path, body=body, headers=headers)
        )
        self._followers = [self._follower(trigger) for trigger in TRIGGERS]
        self._threads = ThreadGroup(on_death=self._thread_died)

    def run(self) -> int:
        """Fire until ``stop`` is set or the token is over; return the exit code."""
        self._set(None, self._settings.instances)
        self._threads.start("timer-sender", self._events.run)
        for trigger, follower in zip(TRIGGERS, self._followers, strict=True):
            self._threads.start(f"timer-{trigger.partition('.')[2]}", follower.run)
        while not self._over():
            self._wait()
            self._take_news()
            for tick in self._timetable.due(now := self._now()):
                self._events.add(key_of(tick), event_of(tick, now, self._settings.sensor_ref))
        for follower in self._followers:
            follower.stop()
        self._events.stop()
        deadline = time.monotonic() + _FLUSH
        while len(self._events) and time.monotonic() < deadline:
            time.sleep(0.02)
        if left := len(self._events):
            log.warning("%d events were not sent", left)
        return 70 if self._failed else _TOKEN_OVER if self._token.over.is_set() else 0

    def _over(self) -> bool:
        return self._stop.is_set() or self._failed or self._token.over.is_set() or os.getppid() != self._parent

    def _follower(self, trigger: str) -> Follower:
        connection = ServerConnection(self._settings.address, self._token, patience=_HELD_PATIENCE)
        return Follower(
            trigger,
            lambda path: connection.request("GET", path),
            self._changed,
        )

    def _changed(self, trigger: str, rules: object) -> None:
        with self._news:
            self._rules[trigger] = rules
            self._news.notify()

    def _take_news(self) -> None:
        with self._news:
            news, self._rules = self._rules, {}
        for trigger, rules in news.items():
            self._set(trigger, rules)

    def _set(self, trigger: str | None, items: object) -> None:
        """Take over all rules of a trigger, or of all of them."""
        now = self._now()
        rules = list(read_rules(items, now=now, trigger_ref=trigger))
        for rule in self._timetable.replace(TRIGGERS if trigger is None else [trigger], rules, now):
            log.info("timer set", extra={"rule": rule.id, "rule_ref": rule.ref, "trigger": rule.trigger_ref})

    def _wait(self) -> None:
        """Wait for the next timer, for news, or for a moment: a signal only sets an event."""
        at = self._timetable.next_at
        left = _LONGEST_WAIT if at is None else (at - self._now()).total_seconds()
        deadline = time.monotonic() + min(left, _LONGEST_WAIT)
        with self._news:
            while not self._rules and not self._over() and (left := deadline - time.monotonic()) > 0:
                self._news.wait(min(left, 0.5))

    def _exchange(self, token: str) -> bytes:
        headers = {"Authorization": f"Bearer {token}"}
        return self._sending.request("POST", RENEWAL, headers=headers).body

    def _thread_died(self, _name: str, error: BaseException) -> None:
        if not isinstance(error, AgentError) or not self._stop.is_set():
            self._failed = True
