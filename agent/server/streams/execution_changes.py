"""Changes of executions, heard once a process and given to everybody who follows.

One connection listens. When it has gone deaf, or is lost, it connects again and reads the present state of every
execution that changed since it last heard anything. A client that comes again with ``Last-Event-ID`` gets the same:
the id of an event is the database's time, in microseconds, up to which nothing had been missed. What changed shortly
before is told again: a transaction commits later than the time that it writes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import Notify
from psycopg.rows import dict_row

from agent.db.clock import DatabaseClock
from agent.db.listening import Listening
from agent.db.pool import Connection, Database
from agent.db.queries import load_queries
from agent.errors import DatabaseError
from agent.reading.json_text import read_json
from agent.server.streams.sse import frame

log = logging.getLogger(__name__)

OVERLAP = 30.0
"""Seconds before a gap that are told again."""
MOST_REPLAYED = 5000
"""Executions that changed in a gap; when there are more, the client is told to load its list again."""
_KEPT, _KEPT_BYTES = 10_000, 4 * 1024 * 1024
"""Events that wait for one client; all who wait for an event share its bytes."""
_ENDED = frozenset(("completed", "failed", "cancelled", "timeout", "abandoned"))

_NEVER = datetime.min.replace(tzinfo=UTC)

Wants = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True)
class Change:
    """The state of an execution after a change; ``executor`` is known only where somebody asks for it."""

    document: dict[str, Any]
    encoded: bytes

    @property
    def updated(self) -> datetime:
        """When the row was written, by the database's clock."""
        try:
            found = datetime.fromisoformat(str(self.document.get("updated")))
        except ValueError:
            return _NEVER
        return found if found.tzinfo else found.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Replay:
    """What changed since; ``complete`` is False where it was too much. ``begun`` is monotonic."""

    since: float
    begun: float
    changes: tuple[Change, ...]
    complete: bool


class Feed:
    """What waits for one follower, bounded. ``needs_owner``: its ``wants`` asks for ``executor``."""

    def __init__(self, wants: Wants, execution_id: int | None, wake: Callable[[], None], *, needs_owner: bool) -> None:
        """Prepare; ``Changes.follow`` fills it."""
        self.wants = wants
        self.execution_id = execution_id
        self.needs_owner = needs_owner
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: deque[Change] = deque()
        self._size = 0
        self.lagged = False

    def put(self, changes: Iterable[Change]) -> None:
        """Add what it wants; when it is full it is emptied, and its follower has to come again."""
        if self.lagged:
            return
        added = [change for change in changes if self.wants(change.document)]
        with self._lock:
            self._size += sum(len(change.encoded) for change in added)
            if len(self._waiting) + len(added) > _KEPT or self._size > _KEPT_BYTES:
                self.lagged = True
                self._waiting.clear()
            else:
                self._waiting.extend(added)
        if added:
            self._wake()

    def overrun(self) -> None:
        """Give up: more was missed than is kept."""
        self.lagged = True
        self._wake()

    def take(self) -> bytes:
        """Return what waits."""
        with self._lock:
            found = list(self._waiting)
            self._waiting.clear()
            self._size = 0
        return b"".join(change.encoded for change in found)

    def drop_older(self, told: Iterable[Change]) -> None:
        """Forget what waits and is older than what was told of the same execution: nothing goes back."""
        newest = {change.document["id"]: change.updated for change in told}
        with self._lock:
            kept = [one for one in self._waiting if one.updated >= newest.get(one.document["id"], _NEVER)]
            self._waiting.clear()
            self._waiting.extend(kept)


class Changes(Listening):
    """The listener: ``run`` is the body of its thread."""

    def __init__(self, database: Database, clock: DatabaseClock) -> None:
        """Prepare; ``run`` connects. ``ended`` is called in its thread with the id of each execution that ends.

        While nobody follows anything, and ``log_followers`` are none, what comes is not looked at.
        """
        channels = ("execution_created", "execution_status_changed")
        super().__init__(database, channels, subject="changes of executions", meanwhile="streams wait", clock=clock)
        self._lock = threading.Lock()
        self._feeds: dict[int | None, set[Feed]] = {}
        self._replays = threading.Lock()
        self._last: Replay | None = None
        self._begun = time.monotonic()
        self._until = 0.0
        self.ended: Callable[[int], None] = lambda execution_id: None
        self.log_followers: Callable[[], int] = lambda: 0

    def follow(self, feed: Feed) -> None:
        """Fill ``feed`` from now on."""
        with self._lock:
            self._feeds.setdefault(feed.execution_id, set()).add(feed)

    def leave(self, feed: Feed) -> None:
        """Fill ``feed`` no more."""
        with self._lock:
            found = self._feeds.get(feed.execution_id, set())
            found.discard(feed)
            if not found:
                self._feeds.pop(feed.execution_id, None)

    @property
    def place(self) -> str:
        """The id up to which everything has been told, empty before the first connection."""
        return str(int(self._until * 1_000_000)) if self._until else ""

    def replay(self, since: float, *, after: float) -> Replay:
        """Return what changed since ``since`` (the database's time), read after ``after`` (monotonic).

        Many ask for it at once when a server comes back: those who wait for one reading share it.

        Raises:
            DatabaseError: it can't be read now.
        """
        with self._replays:
            last = self._last
            if last is not None and last.begun >= after and last.since <= since:
                return last
            begun = time.monotonic()
            with self._database.connection() as connection:
                found = self._changed(connection, since)
            self._last = Replay(since, begun, found[:MOST_REPLAYED], len(found) <= MOST_REPLAYED)
            return self._last

    def connected(self, connection: Connection) -> None:
        """Tell what changed since something was heard last."""
        now = float(self._rows(connection, "database_time", {})[0]["now"])
        self.clock.tell(now)
        if not self._until and self._feeds:  # they came before the first connection
            self._until = now - (time.monotonic() - self._begun)
        if self._until:
            found = self._changed(connection, self._until - OVERLAP)
            self._told(found[:MOST_REPLAYED], complete=len(found) <= MOST_REPLAYED)
        self._until = now

    def notified(self, connection: Connection, notices: Sequence[Notify]) -> None:
        """Tell what changed; nothing was missed up to now."""
        self._until = self.clock.now()
        if not self._feeds and not self.log_followers():
            return
        self._told(self._read(connection, [notice.payload for notice in notices]))

    def _read(self, connection: Connection, payloads: list[str]) -> list[Change]:
        documents = []
        for payload in payloads:
            try:
                document = read_json(payload)
            except ValueError:
                continue
            if isinstance(document, dict) and isinstance(document.get("id"), int):
                documents.append((document, payload))
        with self._lock:
            asked = any(feed.needs_owner for feeds in self._feeds.values() for feed in feeds)
        owners = {}
        if asked and documents:
            ids = [document["id"] for document, _ in documents]
            owners = {row["id"]: row["executor"] for row in self._rows(connection, "executors", {"ids": ids})}
        place = self.place
        return [
            Change({**document, "executor": owners.get(document["id"])}, frame(payload, id=place))
            for document, payload in documents
        ]

    def _changed(self, connection: Connection, since: float) -> tuple[Change, ...]:
        rows = self._rows(connection, "executions_changed", {"since": since, "limit": MOST_REPLAYED + 1})
        return tuple(
            Change(
                {**row["document"], "executor": row["executor"]}, frame(json.dumps(row["document"]), id=row["place"])
            )
            for row in rows
        )

    def _rows(self, connection: Connection, name: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(load_queries("agent.server")[name].encode(), values).fetchall()

    def _told(self, changes: Iterable[Change], *, complete: bool = True) -> None:
        by_id: dict[int, list[Change]] = {}
        found = list(changes)
        for change in found:
            by_id.setdefault(change.document["id"], []).append(change)
        with self._lock:
            everybody = list(self._feeds.get(None, ()))
            chosen = [(feed, by_id[key]) for key in by_id for feed in self._feeds.get(key, ())]
        for feed in everybody:
            if complete:
                feed.put(found)
            else:
                feed.overrun()
        for feed, some in chosen:
            feed.put(some)
        for key, some in by_id.items():
            if any(change.document.get("status") in _ENDED for change in some):
                self.ended(key)


class ChangesSource:
    """The stream of one follower: first what it missed, then what comes."""

    def __init__(self, changes: Changes, feed: Feed, since: float | None) -> None:
        """``since`` is where it left off (the database's time), None for somebody new."""
        self._changes = changes
        self._feed = feed
        self._since = since
        self._begun = time.monotonic()
        self._started = False
        self._told_lag = False
        changes.follow(feed)

    async def take(self) -> bytes | None:
        """See ``Source``."""
        if not self._started:
            self._started = True
            return await self._missed() or b": connected\n\n"
        if self._feed.lagged:
            if self._told_lag:
                return None
            self._told_lag = True
            return frame("too slow: come again with the id of the last event", event="lagged")
        return self._feed.take()

    async def _missed(self) -> bytes:
        start = f"id: {self._changes.place}\n\n".encode() if self._changes.place else b""
        if self._since is None:
            return start
        try:
            found = await asyncio.to_thread(self._changes.replay, self._since - OVERLAP, after=self._begun)
        except DatabaseError as error:
            log.debug("what a follower missed can't be read: %s", error)
            self._feed.lagged = True  # it comes again, with the same id
            return b": the database is away\n\n"
        if not found.complete:
            return frame("more changed than is kept; load the list again", event="reset") + start
        wanted = self._feed.execution_id
        told = [
            change
            for change in found.changes
            if wanted in (None, change.document["id"]) and self._feed.wants(change.document)
        ]
        self._feed.drop_older(told)
        return b"".join(change.encoded for change in told) + start

    def keep_alive(self) -> bytes:
        """See ``Source``: the place moves on even when nothing happens, so that a gap is no longer than it was."""
        place = self._changes.place
        return f": keep-alive\nid: {place}\n\n".encode() if place else b": keep-alive\n\n"

    def close(self) -> None:
        """See ``Source``."""
        self._changes.leave(self._feed)
