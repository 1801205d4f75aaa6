"""A reader of server-sent events, as a browser reads them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from tests.services.server import ApiClient

PATIENCE = 20.0


@dataclass(frozen=True)
class Event:
    """One event; ``id`` is the last one that was sent."""

    name: str
    data: str
    id: str


class Events:
    """What one stream sends."""

    def __init__(self, answer: httpx.Response) -> None:
        """Read from an answer that has begun."""
        self.answer = answer
        self.comments: list[str] = []
        self.id = ""
        self._events = self._parse()

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def next(self, name: str | None = None) -> Event:
        """Return the next event, or the next of a name."""
        for event in self._events:
            if name is None or event.name == name:
                return event
        raise AssertionError(f"the stream ended without {name or 'an event'}; comments: {self.comments}")

    def text(self) -> str:
        """Return what a log's stream sends until it ends."""
        return "".join(event.data for event in self._events if event.name in ("content", "append"))

    def _parse(self) -> Iterator[Event]:
        name, data = "message", []
        deadline = time.monotonic() + PATIENCE
        for line in self.answer.iter_lines():
            assert time.monotonic() < deadline, f"no such event; comments: {self.comments}"  # keep-alives go on coming
            if not line:
                if data:
                    deadline = time.monotonic() + PATIENCE
                    yield Event(name, "\n".join(data), self.id)
                name, data = "message", []
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "":
                self.comments.append(value)
            elif field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id":
                self.id = value


@contextlib.contextmanager
def events(client: ApiClient, path: str, **headers: str) -> Iterator[Events]:
    """Open a stream that must be let in."""
    shown = {"Authorization": f"Bearer {client.token}"} if client.token else {}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(timeout=20.0, trust_env=False) as http:  # noqa: SIM117
        with http.stream("GET", client.url + path, headers=shown | named) as answer:
            if answer.status_code != 200:
                answer.read()
            assert answer.status_code == 200, answer.text
            yield Events(answer)
