"""Events on their way to the server: kept, in order, while it is away; the oldest go when there are too many."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from agent.backoff import Backoff
from agent.errors import ServerError, ServerUnavailable

log = logging.getLogger(__name__)

EVENTS = "/api/v1/events"
#: Seconds between two attempts while the server is away.
_BACKOFF = Backoff(0.2, 5.0, spread=(0.8, 1.2))

Post = Callable[[str, bytes, dict[str, str]], object]
"""Posts a body with headers to a path. Raises ServerError."""


class _Event(NamedTuple):
    key: str
    body: bytes


class WaitingEvents:
    """Filled by the timers' thread; ``run`` is the body of the sender."""

    def __init__(self, post: Post, *, limit: int = 10_000) -> None:
        """Send through ``post`` and keep at most ``limit`` events."""
        self._post = post
        self._limit = limit
        self._waiting: deque[_Event] = deque()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: str, event: dict[str, Any]) -> None:
        """Keep an event until the server has it; ``key`` is the same when it is sent again."""
        with self._changed:
            if len(self._waiting) >= self._limit:
                self._waiting.popleft()
                self.dropped += 1
                if self.dropped == 1 or self.dropped % 1000 == 0:
                    log.error("%d events were dropped: more than %d wait for the server", self.dropped, self._limit)
            self._waiting.append(_Event(key, json.dumps(event, separators=(",", ":")).encode()))
            self._changed.notify()

    def run(self) -> None:
        """Send until ``stop``."""
        attempt = 0
        while True:
            with self._changed:
                while not self._waiting and not self._stop.is_set():
                    self._changed.wait(1.0)
                if self._stop.is_set() and (not self._waiting or attempt):
                    return
                event = self._waiting[0]
            if self._sent(event, attempt):
                with self._changed:
                    if self._waiting and self._waiting[0] is event:  # it may have been dropped meanwhile
                        self._waiting.popleft()
                    self._changed.notify_all()
                attempt = 0
            else:
                self._stop.wait(_BACKOFF.pause(attempt))
                attempt += 1

    def stop(self) -> None:
        """End ``run`` once all is sent, or the server does not take it."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def _sent(self, event: _Event, attempt: int) -> bool:
        """Whether it is done with: taken, or refused for good."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": event.key}
        try:
            self._post(EVENTS, event.body, headers)
        except ServerUnavailable as error:
            if attempt == 0:
                log.warning("events wait for the server: %s", error)
            return False
        except ServerError as error:
            if error.status == 401:
                return False  # the service gives us a new token
            log.warning("the server refused the event %s: %s", event.key, error)
            return True
        if attempt:
            log.info("events are sent again; %d are waiting", len(self._waiting) - 1)
        return True
