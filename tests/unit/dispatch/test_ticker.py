"""A periodic part runs when it is woken and when its time has come; wake-ups that come together cost one run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from agent.dispatch.ticker import Ticker
from agent.errors import DatabaseUnavailable

Start = Callable[[Ticker], None]
HOUR = 3600.0


@pytest.fixture
def start() -> Iterator[Start]:
    """Run tickers in threads until the test ends."""
    running: list[tuple[Ticker, threading.Thread]] = []

    def run(ticker: Ticker) -> None:
        thread = threading.Thread(target=ticker.run)
        thread.start()
        running.append((ticker, thread))

    yield run
    for ticker, thread in running:
        ticker.stop()
        thread.join(10.0)
        assert not thread.is_alive()


class Gate:
    """A part whose every run waits until it is let go."""

    def __init__(self, *pauses: float) -> None:
        self.began = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.runs = 0
        self._pauses = list(pauses)

    def run_once(self) -> float:
        self.runs += 1
        self.began.release()
        assert self.go.acquire(timeout=10.0)
        return self._pauses.pop(0) if self._pauses else HOUR


def test_what_comes_while_it_runs_is_looked_at_afterwards_once(start: Start) -> None:
    gate = Gate()
    ticker = Ticker("a test", gate.run_once, longest_rest=0.01)
    start(ticker)
    assert gate.began.acquire(timeout=10.0)
    for _ in range(10):
        ticker.wake()
        ticker.wake(within=0.001)
    gate.go.release(2)
    assert gate.began.acquire(timeout=10.0)
    assert not gate.began.acquire(timeout=0.03)
    assert gate.runs == 2


def test_who_waits_longer_does_not_hold_up_who_waits_shorter(start: Start) -> None:
    gate = Gate()
    ticker = Ticker("a test", gate.run_once)
    start(ticker)
    assert gate.began.acquire(timeout=10.0)
    gate.go.release(2)
    ticker.wake(within=HOUR / 2)
    ticker.wake(within=0.001)
    ticker.wake(within=HOUR / 2)
    assert gate.began.acquire(timeout=10.0)


def test_it_goes_on_at_once_while_there_is_more(start: Start) -> None:
    gate = Gate(0.0, 0.0, 0.0)
    start(Ticker("a test", gate.run_once, longest_rest=HOUR))
    gate.go.release(4)
    for _ in range(4):
        assert gate.began.acquire(timeout=10.0)


def test_an_error_that_may_pass_is_tried_again(start: Start) -> None:
    done = threading.Event()
    errors = [DatabaseUnavailable("away")]

    def run_once() -> float:
        if errors:
            raise errors.pop()
        done.set()
        return HOUR

    start(Ticker("a test", run_once))
    assert done.wait(10.0)
