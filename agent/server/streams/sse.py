"""Server-sent events over ASGI: frames, keep-alives, and ends that every stream has in common.

A stream is pulled, never pushed: its source is asked for what there is now and sleeps until it is waked. So a client
that reads slowly holds up nobody and fills no memory, and one that goes away leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from psycopg.rows import dict_row
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agent.access.grants import Grant, read_grants
from agent.access.tokens import LEEWAY, Claims
from agent.db.clock import DatabaseClock
from agent.db.pool import Database
from agent.db.queries import load_queries
from agent.errors import DatabaseError
from agent.server.problems import Problem

log = logging.getLogger(__name__)

TICK = 5.0
"""Seconds between looks at all streams: tokens that ran out."""
_TICKS_OF_A_BEAT = 3
"""A keep-alive every 15 s: proxies give up after 30 or 60."""
LONGEST = 1800.0
"""Seconds after which a stream ends and the client comes again, with its permissions looked at anew."""
_RETRY = (500, 2500)
_LINES = re.compile(r"\r\n|\n|\r")


def frame(text: str, *, event: str | None = None, id: str | None = None) -> bytes:  # noqa: A002 - the field's name
    """Return one event. Line ends in ``text`` become those of the protocol: clients see each as ``\\n``."""
    head = (f"event: {event}\n" if event else "") + (f"id: {id}\n" if id is not None else "")
    return (head + "".join(f"data: {line}\n" for line in _LINES.split(text)) + "\n").encode()


class Source(Protocol):
    """What a stream shows."""

    async def take(self) -> bytes | None:
        """Return frames that are there now, empty when there are none, None when none will come any more."""

    def keep_alive(self) -> bytes:
        """Return what is sent when nothing else was for a while."""

    def close(self) -> None:
        """Let go of what it holds; called once, in the event loop."""


class EventStream:
    """The content of an answer that is a stream. ``opened`` makes its source, in the event loop.

    It is given what wakes the stream, from any thread. ``claims`` and ``grants`` are those of the caller: the stream
    ends with its token, with its account, and when that account is granted something else.
    """

    def __init__(
        self, claims: Claims, opened: Callable[[Callable[[], None]], Source], grants: tuple[Grant, ...]
    ) -> None:
        """Prepare; nothing is held until it is sent."""
        self.claims = claims
        self.grants = grants
        self.opened = opened


class _Open:
    """One stream that is being sent."""

    def __init__(self, claims: Claims, grants: tuple[Grant, ...]) -> None:
        self.claims = claims
        self.grants = grants
        self.loop = asyncio.get_running_loop()
        self.until = time.monotonic() + LONGEST
        self.due = False
        self.ended: bytes | None = None
        self.waked = asyncio.Event()

    def wake(self) -> None:
        """Let it look for frames; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the stream with it
            self.loop.call_soon_threadsafe(self.waked.set)

    def end(self, last: bytes = b"") -> None:
        if self.ended is None:
            self.ended = last
        self.waked.set()


class OpenStreams:
    """All streams of this process; one task keeps them awake and ends those whose time is over."""

    def __init__(self, database: Database, clock: DatabaseClock, *, per_identity: int, in_all: int) -> None:
        """``per_identity`` and ``in_all`` streams may be open at the same time."""
        self._database = database
        self._clock = clock
        self._per_identity = per_identity
        self._in_all = in_all
        self._lock = threading.Lock()
        self._open: set[_Open] = set()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._ticking: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, claims: Claims) -> None:
        """Go on only if one more may be opened. Raises Problem (429, 503)."""
        if self._closed:
            raise Problem(503, "UNAVAILABLE", "this server is about to end", headers={"Retry-After": "1"})
        if self._counts[_whose(claims)] >= self._per_identity:
            raise Problem(
                429,
                "TOO_MANY_REQUESTS",
                f"you have {self._per_identity} streams open; close one, or follow all executions in one stream",
                headers={"Retry-After": "15"},
            )
        if len(self._open) >= self._in_all:
            raise Problem(503, "UNAVAILABLE", "this server has no stream left", headers={"Retry-After": "15"})

    def begin(self, claims: Claims, grants: tuple[Grant, ...]) -> _Open:
        """Count one more, in the event loop. Raises Problem."""
        self.admit(claims)
        made = _Open(claims, grants)
        self._open.add(made)
        self._counts[_whose(claims)] += 1
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.get_running_loop().create_task(self._tick())
        return made

    def finish(self, stream: _Open) -> None:
        """Forget one."""
        self._open.discard(stream)
        self._counts[_whose(stream.claims)] -= 1
        if self._counts[_whose(stream.claims)] <= 0:
            del self._counts[_whose(stream.claims)]

    def close(self) -> None:
        """End all: clients come again, to another server or this one's next life. In the event loop."""
        self._closed = True
        for stream in self._open:
            stream.end(b": this server ends\n\n")
        if self._ticking is not None:
            self._ticking.cancel()

    async def _tick(self) -> None:
        ticks = 0
        while self._open:
            await asyncio.sleep(TICK)
            ticks += 1
            now, clock = time.monotonic(), self._clock.now()
            for stream in list(self._open):
                if stream.claims.expires + LEEWAY < clock:
                    stream.end(frame("Authentication token expired", event="unauthorized"))
                elif stream.until < now:
                    stream.end(b": come again\n\n")
                elif ticks % _TICKS_OF_A_BEAT == 0:
                    stream.due = True
                    stream.waked.set()
            if ticks % _TICKS_OF_A_BEAT == 0:
                await self._check_accounts()

    async def _check_accounts(self) -> None:
        """End the streams of accounts that are frozen, gone or may do something else now, by one statement for all."""
        ids = {stream.claims.identity for stream in self._open if stream.claims.kind == "access"}
        try:
            good = await asyncio.to_thread(self._accounts, [number for number in ids if number is not None])
        except DatabaseError as error:
            log.debug("accounts of open streams can't be looked at: %s", error)
            return
        for stream in list(self._open):
            if stream.claims.kind != "access" or (identity := stream.claims.identity) not in ids:
                continue
            if identity not in good:
                stream.end(frame("this account is frozen or gone", event="unauthorized"))
            elif good[identity] != stream.grants:
                stream.end(b": come again\n\n")

    def _accounts(self, ids: list[int]) -> dict[int, tuple[Grant, ...]]:
        statement = load_queries("agent.server")["accounts_that_count"].encode()
        with self._database.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return {row["id"]: read_grants(row["grants"]) for row in cursor.execute(statement, {"ids": ids})}


def _whose(claims: Claims) -> tuple[str, str]:
    return claims.kind, claims.login if claims.kind == "execution" else claims.subject


class EventStreamResponse(Response):
    """Sends a stream until its source ends, the client goes away, the token runs out or the server ends."""

    def __init__(self, stream: EventStream, streams: OpenStreams) -> None:
        """Prepare the head of the answer."""
        self.status_code = 200
        self.background = None
        self.body = b""
        self._stream = stream
        self._streams = streams
        headers = {
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",  # nginx holds nothing back
            "Content-Type": "text/event-stream; charset=utf-8",
        }
        self.init_headers(headers)
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the base class."""
        try:
            connected = self._streams.begin(self._stream.claims, self._stream.grants)
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        leaving = asyncio.create_task(_watch(receive, connected))
        source = None
        try:
            # Opened first: whoever has the head of the answer misses nothing from then on.
            source = self._stream.opened(connected.wake)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await _body(send, f"retry: {random.randint(*_RETRY)}\n\n".encode())  # noqa: S311 - spreads them only
            await _pump(connected, source, send)
            await send({"type": "http.response.body", "body": connected.ended or b"", "more_body": False})
        finally:
            leaving.cancel()
            self._streams.finish(connected)
            if source is not None:
                source.close()


async def _watch(receive: Receive, connected: _Open) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    connected.end()


async def _pump(connected: _Open, source: Source, send: Send) -> None:
    while connected.ended is None:
        connected.waked.clear()
        while connected.ended is None:
            frames = await source.take()
            if frames is None:
                return
            if not frames:
                break
            connected.due = False
            await _body(send, frames)
        if connected.due:
            connected.due = False
            await _body(send, source.keep_alive())
        if connected.ended is None:
            await connected.waked.wait()


async def _body(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})
