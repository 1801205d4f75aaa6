"""Supervision of one child: input, output, time limit, interrupt, kill, and what it leaves in its group."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from agent.process import supervisor
from agent.process.cancellation import CancellationToken
from agent.process.job_mark import JobMark
from agent.process.request import Ending, ProcessRequest
from agent.process.supervisor import run
from tests.services.waiting import not_for_ever, until
from tests.unit.process.shells import is_gone, run_shell


def test_exit_code_and_both_streams_are_returned() -> None:
    outcome, out, err = run_shell("cat; echo oops >&2; exit 7", stdin=b"given")
    assert (outcome.ending, outcome.exit_code, out, err) == (Ending.EXIT, 7, b"given", b"oops\n")


def test_a_signal_that_nobody_here_sent_is_named() -> None:
    outcome, _, _ = run_shell("kill -SEGV $$")
    assert (outcome.ending, outcome.exit_code, outcome.signal) == (Ending.SIGNAL, None, signal.SIGSEGV)


def test_input_larger_than_a_pipe_is_written_while_output_is_read() -> None:
    document = b"x" * 3_000_000
    outcome, out, _ = run_shell("cat", stdin=document)
    assert outcome.exit_code == 0
    assert out == document


def test_a_child_that_does_not_read_its_input_succeeds() -> None:
    outcome, _, _ = run_shell("exit 0", stdin=b"x" * 3_000_000)
    assert (outcome.ending, outcome.exit_code) == (Ending.EXIT, 0)


def test_a_timeout_interrupts_the_whole_group() -> None:
    with not_for_ever():
        outcome, _, _ = run_shell("sleep 600 & sleep 600", timeout=0.05)
    assert outcome.ending is Ending.TIMEOUT


def test_a_child_that_ignores_the_interrupt_is_killed_after_the_grace() -> None:
    outcome, _, _ = run_shell("trap '' TERM; while :; do sleep 0.02; done", timeout=0.05, grace=0.1)
    assert (outcome.ending, outcome.signal) == (Ending.TIMEOUT, signal.SIGKILL)


def test_a_child_may_end_in_its_own_way_within_the_grace() -> None:
    outcome, out, _ = run_shell(
        "trap 'echo cleaned; exit 3' TERM; echo up; while :; do sleep 0.02; done", timeout=1, grace=60
    )
    assert (outcome.ending, outcome.exit_code, out) == (Ending.TIMEOUT, 3, b"up\ncleaned\n")


def test_a_cancellation_from_another_thread_ends_the_run() -> None:
    stop = CancellationToken()
    outcome, _, _ = run_shell(
        "echo up; sleep 600 & wait", timeout=300, stop=stop, on_output=lambda _: stop.cancel(Ending.CANCELLED) and None
    )
    assert outcome.ending is Ending.CANCELLED


def test_the_first_cause_wins() -> None:
    stop = CancellationToken()
    assert stop.cancel(Ending.SHUTDOWN)
    assert not stop.cancel(Ending.CANCELLED)
    outcome, _, _ = run_shell("sleep 600", stop=stop)
    assert outcome.ending is Ending.SHUTDOWN


def test_a_request_after_the_end_is_refused() -> None:
    stop = CancellationToken()
    run_shell(":", stop=stop)
    stop.close()
    assert not stop.cancel(Ending.CANCELLED)


def test_a_background_process_that_holds_the_output_cannot_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "DRAIN_SECONDS", 0.2)
    with not_for_ever():
        outcome, out, _ = run_shell("sleep 600 & echo $!", timeout=None)
    assert outcome.exit_code == 0
    until(lambda: is_gone(int(out)))


def test_a_background_process_of_the_group_does_not_outlive_the_run() -> None:
    with not_for_ever():
        _, out, _ = run_shell("sleep 600 >/dev/null 2>&1 & echo $!", timeout=None)
    until(lambda: is_gone(int(out)))


@pytest.mark.parametrize("stream", ["", ">/dev/null 2>&1"], ids=["holding the output", "holding nothing"])
def test_the_whole_group_has_the_grace_when_its_leader_goes_at_once(tmp_path: Path, stream: str) -> None:
    released = tmp_path / "released"
    child = f"trap 'sleep 0.5; echo x > {released}; exit' TERM; echo up > {tmp_path}/up; while :; do sleep 0.02; done"
    script = f'sh -c "{child}" {stream} & wait'
    stop = CancellationToken()
    threading.Thread(
        target=lambda: (until((tmp_path / "up").exists), stop.cancel(Ending.CANCELLED)), daemon=True
    ).start()
    outcome, _, _ = run_shell(script, timeout=120, stop=stop, grace=60)
    assert outcome.ending is Ending.CANCELLED
    assert released.exists()


def test_a_group_that_ignores_the_interrupt_is_killed_after_the_grace_although_its_leader_has_gone() -> None:
    script = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.02; done' & wait"
    with not_for_ever():
        outcome, text, _ = run_shell(script, timeout=1, grace=0.4)
    assert outcome.ending is Ending.TIMEOUT
    until(lambda: is_gone(int(text)))


@pytest.mark.usefixtures("_subreaper")
@pytest.mark.parametrize("limit", ["time", "cancel"])
def test_a_job_that_moves_into_our_own_process_group_is_ended_in_time(limit: str) -> None:
    code = (
        "import os, subprocess, time\nos.setpgid(0, os.getpgid(os.getppid()))\n"
        "child = subprocess.Popen(['sleep', '600'])\nprint(os.getpid(), child.pid, flush=True)\ntime.sleep(600)"
    )
    out: list[bytes] = []
    stop = CancellationToken()

    def take(chunk: bytes) -> None:
        out.append(chunk)
        if limit == "cancel":
            stop.cancel(Ending.CANCELLED)

    number = f"{os.getpid()}005"
    request = ProcessRequest(
        [sys.executable, "-c", code],
        {**os.environ, "ATTUNE_EXEC_ID": number},
        None,
        b"",
        1.5 if limit == "time" else None,
        take,
        take,
        JobMark(f"ATTUNE_EXEC_ID={number}"),
        grace=0.5,
    )
    with not_for_ever():
        outcome = run(request, stop)
    stop.close()
    assert outcome.ending is (Ending.TIMEOUT if limit == "time" else Ending.CANCELLED)
    until(lambda: all(is_gone(int(pid)) for pid in b"".join(out).split()))


@pytest.mark.parametrize("seconds", [30 * 86400.0, 1e30, math.inf])
def test_a_limit_may_be_longer_than_a_wait_of_the_kernel(seconds: float) -> None:
    outcome, _, _ = run_shell("sleep 0.05", timeout=seconds)
    assert (outcome.ending, outcome.exit_code) == (Ending.EXIT, 0)


def test_an_endless_writer_is_bounded_by_its_timeout_alone() -> None:
    total = 0

    def count(chunk: bytes) -> None:
        nonlocal total
        total += len(chunk)

    outcome, _, _ = run_shell("exec cat /dev/zero", timeout=0.1, on_output=count)
    assert outcome.ending is Ending.TIMEOUT
    assert total > 0


def test_no_descriptor_is_left_open_after_many_runs() -> None:
    run_shell(":")
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(20):
        run_shell("echo hello; exit 1", stdin=b"x")
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.usefixtures("_subreaper")
def test_a_run_that_is_cut_short_does_not_wait_for_whoever_holds_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "DRAIN_SECONDS", 600.0)
    script = "trap '' TERM; setsid sleep 600 & echo up; while :; do sleep 0.02; done"
    with not_for_ever():
        outcome, _, _ = run_shell(script, timeout=0.3, grace=0.3, marker=f"ATTUNE_EXEC_ID={os.getpid()}002")
    assert outcome.ending is Ending.TIMEOUT


def test_the_child_gets_default_signal_actions_and_no_descriptor_of_ours() -> None:
    opened = os.open("/dev/null", os.O_RDONLY)
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        _, out, _ = run_shell("grep SigIgn /proc/self/status; ls /proc/self/fd | wc -l")
    finally:
        signal.signal(signal.SIGUSR2, before)
        os.close(opened)
    ignored, descriptors = out.split(b"\n")[:2]
    for number in (signal.SIGPIPE, signal.SIGUSR2):  # the first is ignored by Python itself
        assert int(ignored.split()[1], 16) & (1 << (number - 1)) == 0
    assert int(descriptors) == 4  # the three streams, and the listing itself


def test_runs_in_several_threads_do_not_disturb_each_other() -> None:
    results: list[bytes] = []

    def one(number: int) -> None:
        _, out, _ = run_shell(f"echo {number}")
        results.append(out)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(int(result) for result in results) == list(range(12))


def test_python_runs_unbuffered_output_in_order() -> None:
    out: list[bytes] = []
    request = ProcessRequest(
        [sys.executable, "-u", "-c", "print('a'); print('b')"], dict(os.environ), None, b"", 20, out.append, out.append
    )
    assert run(request, CancellationToken()).exit_code == 0
    assert b"".join(out) == b"a\nb\n"
