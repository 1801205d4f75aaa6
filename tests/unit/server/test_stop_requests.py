"""Signals that ask the server to end, whenever they come."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest
import uvicorn

from agent.server.service import _Server
from agent.server.stop_requests import StopRequests


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put back what signals did before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def _nothing(scope: object, receive: object, send: object) -> None:
    """Answer nobody."""


def served(stop: StopRequests, *, during: int | None = None) -> tuple[bool, list[str]]:
    """Return whether the server has been asked to leave inside its block, and how often it stopped accepting."""
    server = _Server(uvicorn.Config(_nothing), stop)
    drained: list[str] = []
    left = asyncio.Event()

    def stop_accepting() -> None:
        drained.append("drained")
        left.set()

    setattr(server, "stop_accepting", stop_accepting)  # noqa: B010 - a method of the class, given by who runs it

    async def run() -> bool:
        with server.capture_signals():
            if during is not None:
                os.kill(os.getpid(), during)
                await asyncio.wait_for(left.wait(), 10)
            return bool(server.should_exit)

    return asyncio.run(run()), drained


def test_one_that_comes_before_the_server_serves_is_not_forgotten() -> None:
    stop = StopRequests()
    stop.listen()
    os.kill(os.getpid(), signal.SIGTERM)
    assert served(stop) == (True, ["drained"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_comes_while_it_serves_drains_it(number: int) -> None:
    stop = StopRequests()
    stop.listen()
    assert served(stop, during=number) == (True, ["drained"])


def test_without_one_it_serves() -> None:
    assert served(StopRequests()) == (False, [])


def test_a_second_one_ends_the_process_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    stop = StopRequests()
    stop.take()
    assert ended == []
    stop.take()
    assert ended == [75]
