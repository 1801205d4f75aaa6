"""Several commands side by side."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.errors import MachineTooSmall
from agent.process import supervisor
from agent.process.children import CHILDREN
from agent.process.parallel import run_commands
from agent.process.spawn import spawn
from agent.threads import ThreadGroup
from tests.children.interpreters import HANGS, write_program
from tests.children.processes import wait_until_gone
from tests.services.waiting import not_for_ever


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give what a child leaves behind little time to close its output."""
    monkeypatch.setattr(supervisor, "DRAIN_SECONDS", 0.2)


def sh(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_outcomes_come_in_the_order_of_the_commands() -> None:
    outcomes = run_commands([sh("sleep 0.04; echo one"), sh("echo two >&2; exit 3"), ["/no/such"]], timeout=5)
    assert [(o.kind, o.exit_code, o.stdout, o.stderr) for o in outcomes] == [
        ("exited", 0, b"one\n", b""),
        ("exited", 3, b"", b"two\n"),
        ("failed_to_start", None, b"", b""),
    ]
    assert "can't start /no/such" in outcomes[2].reason
    assert run_commands([], timeout=5) == []


def test_all_run_at_the_same_time(tmp_path: Path) -> None:
    # Each waits until all have begun.
    meet = [sh(f": > {tmp_path}/{number}; while [ ! -e {tmp_path}/5 ]; do sleep 0.01; done") for number in range(6)]
    assert [outcome.exit_code for outcome in run_commands(meet, timeout=60)] == [0] * 6


def test_a_signal_is_exit_code_minus_one() -> None:
    (outcome,) = run_commands([sh("kill -9 $$")], timeout=5)
    assert (outcome.kind, outcome.exit_code, outcome.reason) == ("exited", -1, "ended by signal 9")


@pytest.mark.parametrize("pidfd", [True, False], ids=["pidfd", "no-pidfd"])
def test_one_that_hangs_is_killed_with_its_group_and_the_others_keep_their_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pidfd: bool
) -> None:
    if not pidfd:  # Linux before 5.3
        monkeypatch.setattr(os, "pidfd_open", _missing)
    hanging = write_program(tmp_path, "hang", f"echo begun\n{HANGS}")
    with not_for_ever():
        hung, quick, leaves = run_commands([[str(hanging)], sh("echo quick"), sh("sleep 600 & echo left")], timeout=1)
    assert (hung.kind, hung.exit_code, hung.stdout) == ("timed_out", -1, b"begun\n")
    assert hung.reason == "did not end within 1 s"
    assert (quick.kind, quick.stdout) == (leaves.kind, b"quick\n") == ("exited", b"quick\n")
    assert leaves.stdout == b"left\n"


def _missing(pid: int) -> int:
    raise OSError(38, "Function not implemented")


def test_what_a_command_leaves_behind_is_killed() -> None:
    (outcome,) = run_commands([sh("sleep 600 & echo $!")], timeout=5)
    left_behind = outcome.stdout.decode().strip()
    assert wait_until_gone(lambda pid, group: pid == left_behind) == []


def test_output_is_bounded_and_input_is_empty() -> None:
    flood, reads = run_commands([sh("yes | head -c 300000; echo end >&2"), ["/bin/cat"]], timeout=10, max_output=1000)
    assert len(flood.stdout) == 1000 and flood.stderr == b"end\n" and flood.exit_code == 0
    assert (reads.kind, reads.stdout) == ("exited", b"")


def test_the_environment_is_the_one_that_was_given() -> None:
    (outcome,) = run_commands([["/usr/bin/env"]], timeout=5, env={"ONLY": "this"})
    assert outcome.stdout == b"ONLY=this\n"


def test_nothing_is_left_open_and_no_child_uncollected(tmp_path: Path) -> None:
    def state() -> tuple[int, bool, set[str]]:
        # Other tests may have left orphans, which are ours if one of them had made this process a subreaper.
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return len(os.listdir("/proc/self/fd")), bool(CHILDREN._pids), set(children)

    before = state()
    run_commands([sh("exit 0"), ["/no/such"], sh("sleep 600"), sh("sleep 600 & exit 1")], timeout=0.1)
    left, were = state(), before
    assert left[:2] == were[:2]
    assert left[2] <= were[2]


def test_where_one_had_to_wait_for_room_those_that_failed_run_again_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused_once: list[str] = []

    def start(argv: Sequence[str], **how: Any) -> int:
        if argv[-1] == "late" and not refused_once:
            refused_once.append("late")
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return spawn(argv, **how)

    monkeypatch.setattr(supervisor, "spawn", start)
    tries = tmp_path / "tries"
    starved = sh(f"echo >> {tries}; [ $(wc -l < {tries}) = 2 ] || exit 1; echo found")
    first, late, whole = run_commands([starved, [*sh("echo late"), "late"], sh(f"echo >> {tmp_path}/whole")], timeout=5)
    assert (first.stdout, late.stdout, whole.kind) == (b"found\n", b"late\n", "exited")
    assert (tmp_path / "whole").read_text() == "\n"  # what succeeded ran once


def test_where_there_was_room_nothing_runs_twice(tmp_path: Path) -> None:
    (outcome,) = run_commands([sh(f"echo >> {tmp_path}/tries; exit 1")], timeout=5)
    assert (outcome.exit_code, (tmp_path / "tries").read_text()) == (1, "\n")


def test_where_there_is_no_thread_each_runs_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(group: ThreadGroup, name: str, target: object) -> None:
        raise MachineTooSmall("no thread", hint="")

    monkeypatch.setattr(ThreadGroup, "start", refuse)
    outcomes = run_commands([sh("echo one"), sh("echo two")], timeout=5)
    assert [outcome.stdout for outcome in outcomes] == [b"one\n", b"two\n"]
