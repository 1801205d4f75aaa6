"""The output of an execution while it comes: server-sent events with lines as pieces of text, by byte offset.

The id of an event names how far each stream was read, so that a browser that reconnects misses nothing and gets
nothing twice. A browser opens few connections to one server: with ``once`` a stream ends as soon as it has caught up.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import anyio.to_thread
from starlette.responses import Response

from agent.server.call import rows
from agent.server.page.ansi import Piece, Terminal
from agent.server.page.endpoints import PageRoute
from agent.server.page.execution import STREAMS, number
from agent.server.page.view import View
from agent.server.streams.execution_changes import Feed
from agent.server.streams.hub import Hub
from agent.server.streams.log_source import CHUNK
from agent.server.streams.sse import EventStream, EventStreamResponse, Source, frame
from agent.server.streams.tails import Tail

_SMALL = 4096
"""Bytes whose lines are made in the event loop; more are made in a thread."""


class _Reading:
    """One of the two streams, read as far as ``offset``; what has no end of line yet is read again."""

    def __init__(self, tail: Tail, offset: int) -> None:
        self.tail = tail
        self.offset = offset
        self.terminal = Terminal()
        self.generation = tail.generation

    @property
    def replaced(self) -> bool:
        """Whether it is another log than the one that was read."""
        return self.tail.generation != self.generation or (self.tail.over and self.offset > self.tail.size)

    @property
    def done(self) -> bool:
        """Whether nothing will come any more."""
        return self.tail.over and self.offset >= self.tail.size

    async def lines(self, hub: Hub) -> list[list[Piece]]:
        """Return the next lines, none when there is nothing new."""
        tail, over = self.tail, self.tail.over  # asked before the size is: nothing comes after it
        if not tail.looked or self.offset >= tail.size:
            return []
        chunk = tail.read(self.offset, CHUNK)
        if chunk is None:
            chunk = await hub.readings.read(tail, self.offset)
        if tail.generation != self.generation:
            return []
        last = over and self.offset + len(chunk) >= tail.size
        end = len(chunk) if last or (len(chunk) >= CHUNK and b"\n" not in chunk) else chunk.rfind(b"\n") + 1
        if not end:
            return []
        self.offset += end
        make = functools.partial(self.terminal.lines, chunk[:end].decode(errors="replace"), last=True)
        return make() if end <= _SMALL else await anyio.to_thread.run_sync(make)


class PageLog:
    """The source of one viewer's stream: both logs of an execution, and that its row has changed."""

    def __init__(
        self,
        hub: Hub,
        wake: Callable[[], None],
        execution_id: int,
        offsets: list[int],
        status: Callable[[], dict[str, Any] | None],
        *,
        once: bool,
    ) -> None:
        """``status`` reads the row; it runs in a thread."""
        self._hub = hub
        self._wake = wake
        self._status = status
        self._once = once
        self._readings = {
            name: _Reading(hub.tails.follow(execution_id, name, wake), offset)
            for name, offset in zip(STREAMS, offsets, strict=True)
        }
        self._feed = Feed(lambda document: True, execution_id, wake, needs_owner=False)
        self._told = self._finished = False
        hub.changes.follow(self._feed)

    async def take(self) -> bytes | None:
        """See ``Source``."""
        if self._finished:
            return None
        readings = self._readings.values()
        if any(one.replaced for one in readings):
            self._finished = True  # the browser comes again, for all of it
            return frame("the log is another one now", event="reset")
        for name, one in self._readings.items():
            if lines := await one.lines(self._hub):
                document = json.dumps([name, lines], ensure_ascii=False, separators=(",", ":"))
                mark = ":".join(str(each.offset) for each in readings)
                return frame(document, event="lines", id=mark)
        changed = self._feed.take()
        if self._feed.lagged:
            self._finished = True
            return frame("", event="again")
        if all(one.done for one in readings):
            self._finished = True
            return await self._state()
        if not all(one.tail.looked for one in readings):
            return b""
        self._finished = self._once
        if self._told and not changed:
            return frame("", event="again") if self._once else b""
        self._told = True
        return await self._state()

    async def _state(self) -> bytes:
        row = await anyio.to_thread.run_sync(self._status)
        over = all(one.done for one in self._readings.values())
        return frame(json.dumps({"status": row["status"] if row else "", "ended": over}), event="state")

    def keep_alive(self) -> bytes:
        """See ``Source``."""
        return b": still here\n\n"

    def close(self) -> None:
        """See ``Source``."""
        self._hub.changes.leave(self._feed)
        for one in self._readings.values():
            self._hub.tails.leave(one.tail, self._wake)


def allow(view: View) -> Response:
    """Let only those in who may read the execution."""
    view.ask("GET", "/api/v1/executions/{id}", at={"id": number(view)})
    return Response()


async def follow(view: View, allowed: Response) -> Response:
    """Send lines and states until the execution has ended and all of it was sent."""
    claims = view.caller.claims
    if claims is None or allowed.status_code != 200:
        return allowed
    hub, execution_id, offsets = view.services.streams, number(view), _offsets(view)
    hub.open.admit(claims)
    status = functools.partial(_row, view, execution_id)

    def opened(wake: Callable[[], None]) -> Source:
        return PageLog(hub, wake, execution_id, offsets, status, once="once" in view.query)

    return EventStreamResponse(EventStream(claims, opened, view.caller.grants), hub.open)


def _offsets(view: View) -> list[int]:
    shown = view.request.headers.get("last-event-id") or view.query.get("from", "")
    parts = shown.split(":")
    if len(parts) != len(STREAMS) or not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
        return [0 for _ in STREAMS]
    return [int(part) for part in parts]


def _row(view: View, execution_id: int) -> dict[str, Any] | None:
    with view.services.database.connection() as connection:
        found: list[dict[str, Any]] = rows(connection, "agent.server.page", "status_of", {"id": execution_id})
    return found[0] if found else None


ROUTES = (PageRoute("GET", "/executions/{id}/live", allow, stream=follow),)
