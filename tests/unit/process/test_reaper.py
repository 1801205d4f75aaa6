"""The reaper takes orphans' zombies and leaves those that somebody waits for."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from agent.process.children import Children
from agent.process.reaper import Reaper
from tests.services.waiting import until


@pytest.fixture
def zombie() -> Iterator[Callable[[], int]]:
    made: list[int] = []

    def make() -> int:
        pid = os.posix_spawn("/bin/true", ["true"], {})
        made.append(pid)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return pid

    yield make
    for pid in made:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def is_there(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def test_a_zombie_nobody_waits_for_is_reaped(zombie: Callable[[], int]) -> None:
    pid = zombie()
    assert Reaper(Children()).reap() >= 1
    assert not is_there(pid)


def test_a_registered_child_keeps_its_status_for_its_waiter(zombie: Callable[[], int]) -> None:
    children = Children()
    with children.starting() as mine:
        pid = zombie()
        mine.add(pid)
    Reaper(children).reap()
    assert os.waitpid(pid, 0) == (pid, 0)


def test_nothing_is_reaped_while_a_spawn_is_under_way(zombie: Callable[[], int]) -> None:
    children = Children()
    with children.starting():
        pid = zombie()
        assert Reaper(children).reap() == 0
    assert is_there(pid)


def test_an_orphan_is_found_behind_a_child_that_is_waited_for(zombie: Callable[[], int]) -> None:
    children = Children()
    ours, orphan, ours_too = zombie(), zombie(), zombie()
    with children.starting() as mine:
        mine.update({ours, ours_too})
    assert Reaper(children).reap() == 1
    assert (is_there(ours), is_there(orphan), is_there(ours_too)) == (True, False, True)


@pytest.mark.usefixtures("_subreaper")
def test_an_orphan_is_gone_soon_after_its_death() -> None:
    reaper = Reaper(Children())
    thread = threading.Thread(target=reaper.run)
    shell = subprocess.run(
        ["/bin/sh", "-c", "sleep 0.05 >/dev/null & echo $!"], capture_output=True, text=True, check=True
    )
    orphan = int(shell.stdout)
    thread.start()
    try:
        until(lambda: not is_there(orphan))
    finally:
        reaper.stop()
        thread.join()


@pytest.mark.parametrize(("before", "hurries"), [("pass", False), ("os.posix_spawn('/bin/true', ['true'], {})", True)])
def test_only_who_has_a_child_looks_for_zombies_often(before: str, hurries: bool) -> None:
    script = f"import os; from agent.process.reaper import _may_inherit; {before}; print(_may_inherit())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{hurries}\n"
