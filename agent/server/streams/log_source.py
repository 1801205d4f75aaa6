"""The stream of one viewer of a log: its own offset in a log that many share."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Literal

import anyio
import anyio.to_thread

from agent.server.streams.log_places import LogFile
from agent.server.streams.sse import frame
from agent.server.streams.tails import LogTails, Tail

CHUNK = 64 * 1024
Encoding = Literal["text", "json", "base64"]
_AT_ONCE = 4
"""Readings of files at the same time, of viewers who are behind: they must not keep threads from requests."""

_PATIENCE = 5.0


class LogReadings:
    """How many viewers may read files at the same time."""

    def __init__(self) -> None:
        """Make the limiter, in the event loop."""
        self._limiter: anyio.CapacityLimiter | None = None

    async def read(self, tail: Tail, offset: int) -> bytes:
        """Read a chunk in a thread."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_AT_ONCE)
        return await anyio.to_thread.run_sync(tail.file.read, offset, CHUNK, limiter=self._limiter)


class LogSource:
    """Follows one log from an offset to the end of its execution."""

    def __init__(
        self,
        tails: LogTails,
        readings: LogReadings,
        wake: Callable[[], None],
        *,
        execution_id: int,
        stream: str,
        offset: int,
        follow: bool,
        encoding: Encoding,
        file: LogFile | None = None,
    ) -> None:
        """``follow`` False: end where the log ends now. ``file`` is followed instead of the log called ``stream``."""
        self._tails = tails
        self._readings = readings
        self._wake = wake
        self._tail = tails.follow(execution_id, stream, wake, file)
        self._offset = offset
        self._follow = follow
        self._encoding = encoding
        self._generation = self._tail.generation
        self._caught_up = False
        self._waiting_told = False
        self._wrote = offset > 0
        self._finished = False
        self._ahead_since: float | None = None

    async def take(self) -> bytes | None:
        """See ``Source``."""
        tail = self._tail
        if not tail.looked:
            return b""
        if tail.generation != self._generation or self._offset > tail.size:
            if tail.generation == self._generation and self._may_come():
                return b""
            self._generation = tail.generation
            self._offset = 0
            self._caught_up = False
            return frame("the log is another one now, from its beginning", event="reset", id="0")
        over = tail.over  # asked before the size is: nothing comes after it
        if self._offset < tail.size and (frames := await self._next(last=over)):
            return frames
        if not self._caught_up and tail.exists:
            self._caught_up = True
            if self._follow or not over:
                return b": initial-catchup-complete\n\n"
        if over or not self._follow:
            return self._done()
        if not tail.exists and not self._waiting_told:
            self._waiting_told = True
            return frame("nothing was written yet", event="waiting")
        return b""

    def _may_come(self) -> bool:
        """Whether a viewer who has seen more than there is here should wait: another server sees a volume later."""
        now = time.monotonic()
        self._ahead_since = self._ahead_since or now
        return not self._tail.over and now - self._ahead_since < _PATIENCE

    async def _next(self, *, last: bool) -> bytes:
        tail, offset = self._tail, self._offset
        chunk = tail.read(offset, CHUNK)
        if chunk is None:
            chunk = await self._readings.read(tail, offset)
        if not chunk or tail.generation != self._generation:
            await asyncio.sleep(0.05)  # cut while it was read: the next look tells
            return b""
        if not (last and offset + len(chunk) >= tail.size):
            chunk = chunk[: len(chunk) - _broken(chunk)]
        if not chunk:
            return b""
        self._offset += len(chunk)
        self._wrote = True
        return frame(self._encoded(chunk), event="append" if self._caught_up else "content", id=str(self._offset))

    def _encoded(self, chunk: bytes) -> str:
        if self._encoding == "base64":
            return base64.b64encode(chunk).decode()
        text = chunk.decode("utf-8", "replace")
        return json.dumps(text, ensure_ascii=False) if self._encoding == "json" else text

    def _done(self) -> bytes | None:
        if self._finished:
            return None
        self._finished = True
        text = "Execution complete" if self._tail.over and self._wrote else ""
        return frame(text, event="done", id=str(self._offset))

    def keep_alive(self) -> bytes:
        """See ``Source``."""
        return b": keep-alive\n\n"

    def close(self) -> None:
        """See ``Source``."""
        self._tails.leave(self._tail, self._wake)


def _broken(chunk: bytes) -> int:
    """Return how many bytes at the end begin a character whose rest has not come yet."""
    for back in range(1, min(3, len(chunk)) + 1):
        byte = chunk[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if 0xF0 <= byte < 0xF8 else 3 if 0xE0 <= byte < 0xF0 else 2 if 0xC0 <= byte < 0xE0 else 1
        return back if length > back else 0
    return 0
