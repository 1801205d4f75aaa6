"""The output of an execution while it comes: server-sent events with lines as pieces of text, by byte offset.

The id of an event names how far each stream was read, so that a browser that reconnects misses nothing and gets
nothing twice.
"""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread
from starlette.responses import Response, StreamingResponse

from agent.control.cancelling import ENDED
from agent.control.execution_output import LogReader
from agent.server.call import rows
from agent.server.page.ansi import Piece, Terminal
from agent.server.page.endpoints import PageRoute
from agent.server.page.execution import STREAMS, number, reader
from agent.server.page.view import View

_PAUSE, _COMMENT_EVERY, _EVENT_BYTES = 0.1, 15.0, 128 * 1024


@dataclass
class _Follower:
    """One stream, read as far as ``offset``; what has no end of line yet waits."""

    log: LogReader
    offset: int
    terminal: Terminal = field(default_factory=Terminal)
    waiting: bytes = b""
    complete: bool = False

    def more(self, *, ended: bool) -> list[list[Piece]]:
        """Return the next lines, so many that an event stays small; none when there is nothing new."""
        if len(self.waiting) < _EVENT_BYTES and not self.complete:
            for chunk in self.log.read_rest() if ended else self.log.read_live():
                self.waiting += chunk
            self.complete = ended
        part = self.waiting[:_EVENT_BYTES]
        at = part.rfind(b"\n") + 1
        if not at and (len(part) >= _EVENT_BYTES or (ended and part)):
            at = len(part)
        complete, self.waiting = self.waiting[:at], self.waiting[at:]
        self.offset += at
        return self.terminal.lines(complete.decode(errors="replace"), last=True) if at else []


def allow(view: View) -> Response:
    """Let only those in who may read the execution."""
    view.ask("GET", "/api/v1/executions/{id}", at={"id": number(view)})
    return Response()


async def follow(view: View, allowed: Response) -> Response:
    """Send lines and states until the execution has ended and all of it was sent."""
    if allowed.status_code != 200:
        return allowed
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    return StreamingResponse(_events(view), media_type="text/event-stream", headers=headers)


async def _events(view: View) -> AsyncIterator[str]:
    execution_id = number(view)
    offsets = _offsets(view)
    followers = {
        name: _Follower(_at(reader(view, execution_id, name), offset), offset)
        for name, offset in zip(STREAMS, offsets, strict=True)
    }
    shown, quiet = "", 0.0
    yield "retry: 1000\n\n"
    while not view.services.draining:
        status = await anyio.to_thread.run_sync(lambda: _status(view, execution_id))
        if status is None:
            return
        found = False
        for name, one in followers.items():
            lines = await anyio.to_thread.run_sync(functools.partial(one.more, ended=status in ENDED))
            if lines:
                found, quiet = True, 0.0
                mark = ":".join(str(each.offset) for each in followers.values())
                document = json.dumps([name, lines], ensure_ascii=False, separators=(",", ":"))
                yield f"id: {mark}\nevent: lines\ndata: {document}\n\n"
        if found:
            continue
        if status != shown:
            shown, quiet = status, 0.0
            yield f"event: state\ndata: {json.dumps({'status': status, 'ended': status in ENDED})}\n\n"
        if status in ENDED:
            return
        await anyio.sleep(_PAUSE)
        quiet += _PAUSE
        if quiet >= _COMMENT_EVERY:
            quiet = 0.0
            yield ": still here\n\n"


def _offsets(view: View) -> list[int]:
    shown = view.request.headers.get("last-event-id") or view.query.get("from", "")
    parts = shown.split(":")
    if len(parts) != len(STREAMS) or not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
        return [0 for _ in STREAMS]
    return [int(part) for part in parts]


def _at(log: LogReader, offset: int) -> LogReader:
    log.skip(offset)
    return log


def _status(view: View, execution_id: int) -> str | None:
    with view.services.database.connection() as connection:
        found: list[dict[str, Any]] = rows(connection, "agent.server.page", "status_of", {"id": execution_id})
    return str(found[0]["status"]) if found else None


ROUTES = (PageRoute("GET", "/executions/{id}/live", allow, stream=follow),)
