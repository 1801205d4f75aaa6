"""Server-sent events: read as they come, and asked for again where they broke off."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from agent.client.patience import Patience
from agent.client.transport import Transport
from agent.errors import AgentError, ApiUnavailable

_SILENCE = 45.0
"""Seconds without a byte after which a connection is taken for dead: a server sends a comment every 15."""
_LARGEST_EVENT = 16 << 20
_CHUNK = 1 << 16


class Event(NamedTuple):
    """One event, as the standard names its parts."""

    name: str
    data: str


class _Answer(Protocol):
    def read1(self, n: int = ...) -> bytes: ...


class EventSource:
    """One stream, over as many connections as it takes; ``Last-Event-ID`` says where each goes on."""

    def __init__(self, transport: Transport, path: str, query: Mapping[str, Any] | None = None) -> None:
        """Nothing is asked yet."""
        self._transport = transport
        self._path = path
        self._query = query
        self._last = ""
        self._retry = 1.0

    def __iter__(self) -> Iterator[Event]:
        """Yield events until the block that reads them ends; one called ``open`` begins each connection.

        Raises:
            Overloaded: there is no room for another stream.
            ApiUnavailable: the API stays away.
            AgentError: it is refused.
        """
        patience = Patience()
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self._last} if self._last else {})
            try:
                with self._transport.lend(
                    "GET", self._path, query=self._query, headers=headers, timeout=_SILENCE
                ) as answer:
                    yield Event("open", "")
                    for lines in _blocks(answer):
                        patience.renew()
                        if (event := self._taken(lines)) is not None:
                            yield event
            except ApiUnavailable as error:
                patience.wait(error, self._retry)
            else:
                time.sleep(self._retry)

    def _taken(self, lines: Iterable[str]) -> Event | None:
        """Read one event; None for comments, and for what has no data."""
        name, data = "message", []
        for line in lines:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id" and "\0" not in value:
                self._last = value
            elif field == "retry" and value.isascii() and value.isdigit():
                self._retry = min(int(value[:6]) / 1000, 30.0)
        return Event(name, "\n".join(data)) if data else None


def _blocks(answer: _Answer) -> Iterator[list[str]]:
    """Yield the lines between empty lines, as soon as they are there. Raises AgentError for one without an end."""
    held = b""
    while chunk := answer.read1(_CHUNK):
        held += chunk
        *whole, held = held.split(b"\n\n")
        if len(held) > _LARGEST_EVENT:
            raise AgentError("an event of the API is larger than this command reads")
        for block in whole:
            yield block.decode("utf-8", "replace").split("\n")
