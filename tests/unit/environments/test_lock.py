"""The lock: one holder among threads, released however the holder ends, and a wait that ends."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.environments import lock as lock_module
from agent.environments.lock import BuildLocks
from agent.environments.model import never
from agent.errors import EnvironmentFailed


def contend(locks: list[BuildLocks], path: Path) -> list[int]:
    """Let eight threads take the lock; return how many were inside each time one entered."""
    inside, seen, switch = [], [], threading.Event()

    def work(number: int) -> None:
        with locks[number % len(locks)].hold(path, never):
            inside.append(number)
            seen.append(len(inside))
            switch.wait(0.002)  # lets the others run
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return seen


def test_one_thread_at_a_time_holds_it(tmp_path: Path) -> None:
    assert contend([BuildLocks(60)], tmp_path / "lock") == [1] * 8


def test_the_file_excludes_holders_that_share_no_memory(tmp_path: Path) -> None:
    assert contend([BuildLocks(60) for _ in range(8)], tmp_path / "lock") == [1] * 8


def test_where_flock_is_missing_a_file_with_an_owner_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module.fcntl, "flock", refuse)
    assert contend([BuildLocks(60) for _ in range(8)], tmp_path / "x.lock") == [1] * 8
    assert not (tmp_path / "x.owner").exists()


def asked_twice() -> Callable[[], bool]:
    """Return an answer to "cancelled?" that is yes after two tries."""
    answers = iter([False, False])
    return lambda: next(answers, True)


def refuse(*_: object) -> None:
    raise OSError(95, "Operation not supported")


@pytest.mark.parametrize("start", ["1", None])
def test_the_file_of_a_dead_owner_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str | None
) -> None:
    monkeypatch.setattr(lock_module.fcntl, "flock", refuse)
    pid = os.getpid() if start else 2**22 + 1
    owner = {"host": lock_module._host(), "pid": pid, "start": start or "1"}
    (tmp_path / "x.owner").write_text(json.dumps(owner))
    with BuildLocks(60).hold(tmp_path / "x.lock", never):
        pass


@pytest.mark.parametrize("content", ['{"host": "elsewhere", "pid": 1, "start": "1"}', ""])
def test_an_owner_on_another_host_is_believed_for_as_long_as_a_build_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(lock_module.fcntl, "flock", refuse)
    owner = tmp_path / "x.owner"
    owner.write_text(content)
    with pytest.raises(EnvironmentFailed), BuildLocks(60).hold(tmp_path / "x.lock", asked_twice()):
        pass
    os.utime(owner, (0, 0))
    with BuildLocks(60).hold(tmp_path / "x.lock", never):
        assert owner.exists()


def test_waiting_ends_when_no_build_may_take_that_long(tmp_path: Path) -> None:
    with (
        BuildLocks(60).hold(tmp_path / "lock", never),
        pytest.raises(EnvironmentFailed, match="longer"),
        BuildLocks(0.02).hold(tmp_path / "lock", never),
    ):
        pass


def test_waiting_ends_with_cancellation(tmp_path: Path) -> None:
    first, second, asked = BuildLocks(60), BuildLocks(60), threading.Event()
    with first.hold(tmp_path / "lock", never):
        threading.Timer(0.03, asked.set).start()
        with (
            pytest.raises(EnvironmentFailed, match="cancelled") as caught,
            second.hold(tmp_path / "lock", asked.is_set),
        ):
            pass
    assert caught.value.cancelled


def test_a_lock_file_that_was_removed_while_waiting_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "pack" / "lock"
    path.parent.mkdir()
    entered, waits = threading.Event(), threading.Event()

    asked = itertools.count()

    def cancelled() -> bool:
        if next(asked):  # it is asked a second time when the file is held
            waits.set()
        return False

    def wait_for_it() -> None:
        with BuildLocks(60).hold(path, cancelled):
            assert path.exists()
            entered.set()

    with BuildLocks(60).hold(path, never):
        waiter = threading.Thread(target=wait_for_it)
        waiter.start()
        assert waits.wait(60)
        path.rename(tmp_path / "aside")
        path.parent.rmdir()
    assert entered.wait(60)
    waiter.join(5)
