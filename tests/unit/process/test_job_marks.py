"""What a job leaves behind is found by its mark, and nobody else is taken for it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.process.oom_score import OOM_SCORE, OomScore, oom_score_of
from tests.unit.process.shells import is_gone, run_shell, wait_for


@pytest.mark.usefixtures("_subreaper")
def test_a_process_that_left_the_group_is_found_by_its_mark_and_killed(tmp_path: Path) -> None:
    child = f"echo $$; sleep 600 >/dev/null 2>&1 & echo $!; exec >/dev/null 2>&1; : > {tmp_path}/up; wait"
    script = f"setsid sh -c '{child}' & {wait_for(tmp_path / 'up')}"
    _, out, _ = run_shell(script, marker=f"ATTUNE_EXEC_ID={os.getpid()}001")
    pids = [int(word) for word in out.split()]
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.usefixtures("_subreaper")
def test_processes_of_other_executions_are_spared() -> None:
    other, out, _ = run_shell("setsid sleep 600 >/dev/null 2>&1 & echo $!", marker="ATTUNE_OTHER_MARK=1")
    pid = int(out)
    try:
        # Its mark does not match, so this run must not touch it, and the run before has killed its own.
        assert other.exit_code == 0
        assert is_gone(pid)
        survivor = os.posix_spawn("/bin/sleep", ["sleep", "60"], {"ATTUNE_EXEC_ID": "1"})
        run_shell(":", marker="ATTUNE_EXEC_ID=2")
        assert not is_gone(survivor)
        os.kill(survivor, signal.SIGKILL)
        os.waitpid(survivor, 0)
    finally:
        assert is_gone(pid)


@pytest.fixture
def scores() -> Iterator[list[int]]:
    """Values of ``oom_score_adj`` that mark jobs."""
    if not OOM_SCORE.open():
        pytest.skip("/proc can't be written here")
    try:
        yield [value for value in OOM_SCORE.values(2) if value is not None]
    finally:
        OOM_SCORE.close()


@pytest.mark.usefixtures("_subreaper")
@pytest.mark.parametrize(
    "script",
    [
        "env -i setsid sh -c 'echo $$; : > UP; exec sleep 600 2>/dev/null >/dev/null' & ",
        # As a daemon does that writes its title over its environment.
        f'setsid {sys.executable} -c "\nimport ctypes, os, sys, time\nprint(os.getpid(), flush=True)\n'
        "area = [int(x) for x in open('/proc/self/stat').read().rpartition(')')[2].split()[47:49]]\n"
        "ctypes.memset(area[0], 0, area[1] - area[0])\nos.close(1)\nos.close(2)\nopen('UP', 'w')\ntime.sleep(600)\" & ",
    ],
    ids=["environment cleared", "title rewritten"],
)
def test_a_process_that_dropped_its_environment_is_found_all_the_same(
    scores: list[int], script: str, tmp_path: Path
) -> None:
    script += wait_for(tmp_path / "UP")
    _, out, _ = run_shell(script, marker=f"ATTUNE_EXEC_ID={os.getpid()}003", score=scores[0], cwd=str(tmp_path))
    assert is_gone(int(out))


@pytest.mark.usefixtures("_subreaper")
def test_what_dropped_its_environment_in_another_slot_or_was_started_by_an_operator_is_spared(
    scores: list[int],
) -> None:
    operators = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    with OOM_SCORE.inherited_as(scores[1]):
        others = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    run_shell(":", marker="ATTUNE_EXEC_ID=2", score=scores[0])
    try:
        assert not is_gone(operators)
        assert not is_gone(others)
    finally:
        for pid in (operators, others):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_jobs_are_killed_for_want_of_memory_before_the_agent_and_the_agent_keeps_its_own_score(
    scores: list[int],
) -> None:
    own = oom_score_of(os.getpid())
    _, out, _ = run_shell("cat /proc/self/oom_score_adj", marker="ATTUNE_EXEC_ID=4", score=scores[0])
    assert own is not None
    assert int(out) == scores[0] > own
    assert oom_score_of(os.getpid()) == own


def test_slots_have_different_scores_as_far_as_there_is_room() -> None:
    score = OomScore()
    assert score.values(3) == [None] * 3
    assert score.open()
    try:
        many = score.values(1005)
    finally:
        score.close()
    there = [value for value in many if value is not None]
    assert len(set(there)) == len(there) == len(many) - many.count(None) > 900
    assert max(there) == 1000
