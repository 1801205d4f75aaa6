"""The health socket says yes, or why not, and always in time."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from agent.presence import answering as answering_module
from agent.presence import health_socket
from agent.presence.health_socket import HealthSocket, ask
from tests.services.waiting import not_for_ever, until


@pytest.fixture(autouse=True)
def own_names(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Keep tests that run at the same time, and agents of this machine, out of each other's hearing."""
    names = [f"\0attune-agent/test/{id(request)}/{time.monotonic_ns()}/{number}" for number in range(2)]
    monkeypatch.setattr(health_socket, "_addresses", lambda: iter(names))
    monkeypatch.setattr(answering_module, "_POLL", 0.02)


@contextmanager
def answering(*, live: bool = True, ready: bool = True) -> Iterator[None]:
    health = HealthSocket(is_live=lambda: live, why_not_ready=lambda: None if ready else "it stops")
    thread = threading.Thread(target=health.run)
    before = listening()
    thread.start()
    try:
        until(lambda: listening() > before)
        yield
    finally:
        health.stop()
        thread.join()


def listening() -> int:
    """Count the agents that can be asked."""
    count = 0
    for address in health_socket._addresses():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(0)
            count += asking.connect_ex(address) == 0
    return count


def test_a_ready_agent_says_yes() -> None:
    with answering():
        assert ask("ready", 1) is None


def test_an_agent_that_is_not_ready_is_still_live() -> None:
    with answering(ready=False):
        assert ask("ready", 1) == "the agent is not ready: it stops"
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
        with not_for_ever():
            assert ask("live", 0.05) == "no answer in time"


@contextmanager
def stranger(address: str, *, backlog: int = 1) -> Iterator[None]:
    """Another user holds ``address`` and says yes to everything."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    ready, report = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(999, 999, 999)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(address)
            listener.listen(backlog)
            os.write(report, b"x")
            while backlog:
                listener.accept()[0].sendall(b"yes\n")
            signal.pause()
        finally:
            os._exit(1)
    os.close(report)
    try:
        assert os.read(ready, 1) == b"x"
        yield
    finally:
        os.close(ready)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_another_user_is_not_believed_not_even_by_root() -> None:
    with stranger(next(health_socket._addresses())):
        assert ask("ready", 1) == "the socket belongs to another user"


def test_another_user_that_takes_nobody_does_not_keep_the_answer_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = health_socket._addresses()
    with answering(), stranger(theirs, backlog=0), ExitStack() as waiting:
        for _ in range(3):
            one = waiting.enter_context(socket.socket(socket.AF_UNIX))
            one.settimeout(0)
            one.connect_ex(theirs)
        monkeypatch.setattr(health_socket, "_addresses", lambda: iter((theirs, ours)))
        assert ask("ready", 2) is None


def test_who_asks_and_leaves_does_not_stop_the_agent() -> None:
    with answering():
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as rude:
                rude.connect(next(health_socket._addresses()))
        assert ask("live", 1) is None
