"""The health socket says yes, or why not, and always in time."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.presence import health_socket
from agent.presence.health_socket import HealthSocket, ask


@pytest.fixture(autouse=True)
def own_names(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Keep tests that run at the same time, and agents of this machine, out of each other's hearing."""
    names = [f"\0attune-agent/test/{id(request)}/{time.monotonic_ns()}/{number}" for number in range(2)]
    monkeypatch.setattr(health_socket, "_addresses", lambda: iter(names))


@contextmanager
def answering(*, live: bool = True, ready: bool = True) -> Iterator[None]:
    health = HealthSocket(is_live=lambda: live, is_ready=lambda: ready)
    thread = threading.Thread(target=health.run)
    before = listening()
    thread.start()
    deadline = time.monotonic() + 5
    while listening() == before and time.monotonic() < deadline:
        time.sleep(0.001)
    try:
        yield
    finally:
        health.stop()
        thread.join()


def listening() -> int:
    """Count the agents that can be asked."""
    count = 0
    for address in health_socket._addresses():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            count += asking.connect_ex(address) == 0
    return count


def test_a_ready_agent_says_yes() -> None:
    with answering():
        assert ask("ready", 1) is None


def test_an_agent_that_is_not_ready_is_still_live() -> None:
    with answering(ready=False):
        assert ask("ready", 1) == "the agent is not ready"
        assert ask("live", 1) is None


def test_no_agent_is_a_reason() -> None:
    assert ask("ready", 1) == "no agent runs in this container"


def test_one_of_two_agents_that_is_ready_is_enough() -> None:
    with answering(ready=False), answering(ready=True):
        assert ask("ready", 1) is None


def test_an_unknown_question_gets_an_answer() -> None:
    with answering():
        assert ask("rich", 1) == "unknown question"


def test_an_agent_that_hangs_is_a_reason_in_time() -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(next(health_socket._addresses()))
        deaf.listen()
        started = time.monotonic()
        assert ask("live", 0.05) == "no answer in time"
        assert time.monotonic() - started < 1


def test_who_asks_and_leaves_does_not_stop_the_agent() -> None:
    with answering():
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as rude:
                rude.connect(next(health_socket._addresses()))
        assert ask("live", 1) is None
