"""Server-sent events as they come over connections that end, from a server that is away at times."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import pytest

from agent.client import event_source
from agent.client.event_source import Event, EventSource
from agent.client.patience import LONGEST, Patience
from agent.client.transport import Transport
from agent.errors import AgentError, ApiUnavailable, Overloaded


class Connections:
    """Stands for the transport: each item is what one connection sends, or the error that it ends with."""

    def __init__(self, *connections: list[bytes] | AgentError) -> None:
        self.left = list(connections)
        self.asked: list[str | None] = []

    @contextlib.contextmanager
    def lend(self, method: str, path: str, **options: Any) -> Iterator[Any]:
        self.asked.append(options["headers"].get("Last-Event-ID"))
        found = self.left.pop(0)
        if isinstance(found, AgentError):
            raise found
        yield Chunks(found)


class Chunks:
    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = [*chunks, b""]

    def read1(self, size: int) -> bytes:
        return self.chunks.pop(0)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_source.time, "sleep", lambda seconds: None)


def read(connections: Connections, count: int) -> list[Event]:
    """Return so many events, without those that begin a connection."""
    found = []
    for event in EventSource(cast(Transport, connections), "/x"):
        found += [event] if event.name != "open" else []
        if len(found) == count:
            break
    return found


def test_events_are_put_together_wherever_the_network_cuts() -> None:
    text = b": hello\nretry: 5\n\nevent: append\nid: 4\ndata: one\ndata:two\n\nid: 5\n\ndata: last\n\n"
    for size in (1, 2, 7, 1000):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert read(Connections(pieces), 2) == [Event("append", "one\ntwo"), Event("message", "last")]


def test_it_goes_on_behind_the_last_event_that_came_whole() -> None:
    connections = Connections(
        [b"id: 4\ndata: a\n\nid: 9\ndata: half"], ApiUnavailable("away"), [b": nothing\n\n"], [b"id: 9\ndata: b\n\n"]
    )
    assert [event.data for event in read(connections, 2)] == ["a", "b"]
    assert connections.asked == [None, "4", "4", "4"]


def test_each_connection_is_told() -> None:
    source = iter(EventSource(cast(Transport, Connections([b"data: a\n\n"], [b"data: b\n\n"])), "/x"))
    assert [next(source).name for _ in range(4)] == ["open", "message", "open", "message"]


def test_what_is_refused_ends_it() -> None:
    with pytest.raises(Overloaded):
        read(Connections(Overloaded("too many")), 1)


def test_an_event_without_an_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_source, "_LARGEST_EVENT", 10)
    with pytest.raises(AgentError, match="larger than this command reads"):
        read(Connections([b"data: ", b"x" * 20]), 1)


def test_patience_counts_from_the_last_sign_of_life() -> None:
    now, rests = [0.0], []
    patience = Patience(clock=lambda: now[0], rest=rests.append)
    away = ApiUnavailable("away")
    now[0] = LONGEST
    patience.wait(away)
    patience.renew()
    now[0] += LONGEST
    patience.wait(away, 7.0)
    now[0] += 1.0
    with pytest.raises(ApiUnavailable):
        patience.wait(away)
    assert rests == [0.5, 7.0]
