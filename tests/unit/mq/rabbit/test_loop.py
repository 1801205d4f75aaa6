"""The loop's connection may be used by others exactly while the loop waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from agent.mq.rabbit.loop import Loop

_PATIENCE = 10.0


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    entered = threading.Event()
    made.add_callback_threadsafe(entered.set)

    def run() -> None:
        with made.turn:
            made.start()

    thread = threading.Thread(target=run)
    thread.start()
    assert entered.wait(_PATIENCE)
    yield made
    made.add_callback_threadsafe(made.stop)
    thread.join()
    made.close()


def test_whoever_asks_while_the_loop_waits_gets_its_turn(loop: Loop) -> None:
    assert loop.turn.acquire(timeout=_PATIENCE)
    loop.turn.release()


def test_nobody_gets_a_turn_while_the_loop_works(loop: Loop) -> None:
    working, done = threading.Event(), threading.Event()

    def work() -> None:
        working.set()
        done.wait(_PATIENCE)

    loop.add_callback_threadsafe(work)
    assert working.wait(_PATIENCE)
    assert not loop.turn.acquire(blocking=False)
    done.set()


def test_the_loop_does_not_work_while_somebody_has_the_turn(loop: Loop) -> None:
    called = threading.Event()
    assert loop.turn.acquire(timeout=_PATIENCE)
    loop.add_callback_threadsafe(called.set)
    assert not called.wait(0.05)
    loop.turn.release()
    assert called.wait(_PATIENCE)


def test_the_turn_is_free_after_the_loop_has_ended() -> None:
    loop = Loop()
    loop.add_callback_threadsafe(loop.stop)
    with loop.turn:
        loop.start()
    assert loop.turn.acquire(blocking=False)
    loop.turn.release()
    loop.close()
