"""Follow one execution over its live views: what it writes and how it stands, without asking again and again."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue

from agent.client.event_source import EventSource
from agent.client.transport import Transport, path_of
from agent.errors import AgentError
from agent.threads import ThreadGroup

_STATUS = ""
_LOOK = 0.5
"""Seconds after which the main thread looks whether somebody wants to interrupt it."""


class Following:
    """Reads each stream in a thread of its own; the block that iterates gets all of them in one."""

    def __init__(self, transport: Transport, execution_id: int, streams: Sequence[str], *, status: bool) -> None:
        """Begin: ``streams`` are ``stdout`` and ``stderr``; ``status``: tell of changes of the execution, too."""
        self._came: SimpleQueue[tuple[str, bytes | BaseException | None]] = SimpleQueue()
        self._open = set(streams) or {_STATUS}
        threads = ThreadGroup(on_death=lambda name, error: self._came.put((_STATUS, error)))
        for stream in streams:
            path = path_of("executions", execution_id, "logs", stream, "stream")
            source = EventSource(transport, path, {"encoding": "base64"})
            threads.start(f"follow-{stream}", self._reading(stream, _content(source)))
        if status:
            changes = EventSource(transport, path_of("executions", "stream"), {"execution_id": execution_id})
            threads.start("follow-status", self._reading(_STATUS, (b"" for _ in changes)))

    def until(self, deadline: float | None) -> Iterator[tuple[str, bytes]]:
        """Yield streams and what they wrote, ``""`` when the status may have changed, until the streams have ended.

        Where only the status is told it goes on until the block ends. ``deadline`` is monotonic; None waits for ever.
        Raises AgentError.
        """
        while self._open:
            left = _LOOK if deadline is None else min(_LOOK, deadline - time.monotonic())
            if left <= 0:
                return
            try:
                stream, found = self._came.get(timeout=left)
            except Empty:
                continue
            if isinstance(found, BaseException):
                raise found
            if found is None:
                self._open.discard(stream)
            else:
                yield stream, found

    def _reading(self, stream: str, chunks: Iterator[bytes]) -> Callable[[], None]:
        def read() -> None:
            try:
                for chunk in chunks:
                    self._came.put((stream, chunk))
                self._came.put((stream, None))
            except AgentError as error:
                self._came.put((stream, error))

        return read


def _content(source: EventSource) -> Iterator[bytes]:
    """Yield what a log's events hold, to the end of its execution."""
    for event in source:
        if event.name in ("content", "append"):
            try:
                yield base64.b64decode(event.data, validate=True)
            except ValueError as error:
                raise AgentError(f"what the API sends is no log: {error}") from None
        elif event.name == "done":
            return
