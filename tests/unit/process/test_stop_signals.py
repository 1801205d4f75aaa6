"""A request to stop is noticed whatever the main thread is doing at that moment."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from agent.process.stop_signals import TOGETHER, StopSignals

_PATIENCE = 10.0


def test_a_signal_that_comes_in_the_middle_of_a_wait_for_it_is_noticed() -> None:
    with StopSignals() as signals:
        with signals.stop._cond:  # type: ignore[attr-defined]  # what Event.wait holds before it sleeps
            os.kill(os.getpid(), signal.SIGTERM)
        assert signals.stop.wait(_PATIENCE)


def test_a_signal_that_does_not_interrupt_the_main_thread_is_noticed() -> None:
    def kill_oneself_while_another_waits(stop: threading.Event) -> None:
        while not stop._cond._waiters:  # type: ignore[attr-defined]
            time.sleep(0.001)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    with StopSignals() as signals:
        threading.Thread(target=kill_oneself_while_another_waits, args=(signals.stop,)).start()
        assert signals.stop.wait(_PATIENCE)


def test_a_later_signal_asks_for_hurry_and_the_first_does_not() -> None:
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.stop.wait(_PATIENCE)
        assert not signals.hurry.is_set()
        time.sleep(TOGETHER)  # a signal that comes sooner is part of the first request
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.hurry.wait(_PATIENCE)


def test_two_signals_that_come_together_are_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.process.stop_signals.TOGETHER", 60.0)
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.stop.wait(_PATIENCE)
    assert not signals.hurry.is_set()  # leaving waits until everything that was received has been looked at


def test_a_signal_after_the_stop_was_asked_for_otherwise_asks_for_hurry() -> None:
    with StopSignals() as signals:
        signals.stop.set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.hurry.wait(_PATIENCE)


def test_a_signal_of_another_kind_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.process.stop_signals.TOGETHER", 0.0)  # had the first one counted, the second would hurry
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGTERM)
            assert signals.stop.wait(_PATIENCE)
        assert not signals.hurry.is_set()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_handlers_and_the_wakeup_pipe_are_as_before_afterwards() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    before = set(os.listdir("/proc/self/fd"))
    with StopSignals():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert signal.set_wakeup_fd(-1) == -1
    assert set(os.listdir("/proc/self/fd")) == before
