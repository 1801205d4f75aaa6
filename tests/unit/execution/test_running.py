"""What is in hand can be cancelled from before its claim until it is over."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from agent.execution.running import RunningExecutions
from agent.process import syscalls
from agent.process.request import Ending
from tests.unit.fakes.waiter import Waiter


@pytest.fixture
def running() -> Iterator[RunningExecutions]:
    made = RunningExecutions()
    yield made
    for id_ in range(10):
        made.remove(id_)


def test_only_what_is_new_is_returned_and_each_once(running: RunningExecutions) -> None:
    assert running.add([1, 2, 1]) == [1, 2]
    assert running.add([2, 3]) == [3]
    assert len(running) == 3


def test_what_is_added_again_keeps_its_cancellation(running: RunningExecutions) -> None:
    running.add([1])
    running.cancel(1)
    running.add([1])
    assert running.token_of(1).cause is Ending.CANCELLED


def test_what_is_not_in_hand_can_not_be_cancelled(running: RunningExecutions) -> None:
    running.add([1])
    running.remove(1)
    assert not running.cancel(1)
    assert not running.cancel(2)


def test_a_second_cancellation_is_as_good_as_the_first(running: RunningExecutions) -> None:
    running.add([1])
    assert running.cancel(1)
    assert running.cancel(1)


def test_an_execution_that_was_over_can_run_again(running: RunningExecutions) -> None:
    running.add([1])
    running.cancel(1)
    running.remove(1)
    assert running.add([1]) == [1]
    assert running.token_of(1).cause is None


def test_all_are_asked_to_end_and_the_first_cause_stays(running: RunningExecutions) -> None:
    running.add([1, 2])
    running.cancel(1)
    assert running.stop_all(Ending.SHUTDOWN) == 2
    assert [running.token_of(id_).cause for id_ in (1, 2)] == [Ending.CANCELLED, Ending.SHUTDOWN]


def test_whoever_waits_for_the_last_is_woken(running: RunningExecutions) -> None:
    running.add([1, 2])
    assert not running.wait_empty(0)
    waiter = Waiter(lambda: running.wait_empty(3600))
    running.remove(1)
    running.remove(2)
    assert waiter.answer()


def test_without_descriptors_none_is_noted_and_none_stays_open(
    running: RunningExecutions, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.add([1])
    opened: list[int] = []
    real = syscalls.event

    def two_more() -> int:
        if len(opened) == 2:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        opened.append(real())
        return opened[-1]

    monkeypatch.setattr(syscalls, "event", two_more)
    with pytest.raises(OSError, match="Too many open files"):
        running.add([1, 2, 3, 4])
    assert len(running) == 1
    for descriptor in opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_what_is_over_gives_its_descriptor_back(running: RunningExecutions) -> None:
    running.add([1])
    descriptor = running.token_of(1).fileno()
    running.remove(1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
