"""Requests that wait for a change: woken by the database's notifications, without a thread of their own.

A topic is a trigger's ref; "" stands for all of them. Where no notification comes, a waiter looks again by itself.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass

from psycopg import Notify

from agent.db.listening import Listener
from agent.db.pool import Database

CHANNEL = "server_rules_changed"
_LOOK_AGAIN = 5.0
"""Seconds after which a waiter looks although nobody called: notifications may be lost."""


@dataclass(eq=False)
class _Waiter:
    topic: str
    loop: asyncio.AbstractEventLoop
    event: asyncio.Event


class Changes:
    """Who waits for what. All methods but ``wait`` may be called from any thread."""

    def __init__(self, database: Database) -> None:
        """Prepare; ``run`` listens."""
        self._listener = Listener(database, (CHANNEL,), self._told)
        self._lock = threading.Lock()
        self._waiters: set[_Waiter] = set()
        self._latest: dict[str, int] = {}
        self._count = 0
        self._stopped = False

    def run(self) -> None:
        """Listen until ``stop``."""
        self._listener.run()

    def stop(self) -> None:
        """Let go of whoever waits, now and from now on."""
        self._stopped = True
        self._listener.stop()
        self._told(None)

    def seen(self) -> int:
        """Return a mark: what changes after it ends a wait that is given it."""
        return self._count

    async def wait(self, topic: str, seen: int, seconds: float) -> None:
        """Return when the topic has changed since ``seen``, or the time is over."""
        waiter = _Waiter(topic, asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self._stopped or max(self._latest.get(topic, 0), self._latest.get("", 0)) > seen:
                return
            self._waiters.add(waiter)
        try:
            await asyncio.wait_for(waiter.event.wait(), min(seconds, _LOOK_AGAIN))
        except TimeoutError:
            return
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def _told(self, notice: Notify | None) -> None:
        topic = notice.payload if notice else ""
        with self._lock:
            self._count += 1
            if len(self._latest) > 10_000:
                self._latest.clear()
                topic = ""
            self._latest[topic] = self._count
            found = [one for one in self._waiters if topic in ("", one.topic)]
        for one in found:
            one.loop.call_soon_threadsafe(one.event.set)
