"""Supervision of one child: input, output, time limit, interrupt, kill, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.process import syscalls
from agent.process.prctl import become_subreaper
from agent.process.request import Ending, ProcessOutcome, ProcessRequest
from agent.process.runner import run
from agent.process.stop import StopRequest

Runner = Callable[..., tuple[ProcessOutcome, bytes, bytes]]


def run_shell(
    script: str,
    *,
    stdin: bytes = b"",
    timeout: float | None = 20.0,
    grace: float = 1.0,
    stop: StopRequest | None = None,
    cwd: str | None = None,
    marker: str | None = None,
    on_output: Callable[[bytes], None] | None = None,
) -> tuple[ProcessOutcome, bytes, bytes]:
    """Run a shell script and return its outcome and output."""
    out: list[bytes] = []
    err: list[bytes] = []

    def take(chunk: bytes) -> None:
        out.append(chunk)
        if on_output is not None:
            on_output(chunk)

    env = dict(os.environ)
    if marker is not None:
        name, _, value = marker.partition("=")
        env[name] = value
    request = ProcessRequest(["/bin/sh", "-c", script], env, cwd, stdin, timeout, take, err.append, marker, grace)
    own = stop or StopRequest()
    try:
        return run(request, own), b"".join(out), b"".join(err)
    finally:
        own.close()


def is_gone(pid: int) -> bool:
    """Whether a process has ended (a zombie counts)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(condition: Callable[[], bool], timeout: float = 5.0) -> bool:
    """Poll a condition that another process makes true."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


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


def test_a_program_that_does_not_exist_is_told_with_its_name() -> None:
    request = ProcessRequest(["/nonexistent/interpreter"], {}, None, b"", 5, lambda _: None, lambda _: None)
    outcome = run(request, StopRequest())
    assert outcome.ending is Ending.SPAWN_FAILED
    assert "/nonexistent/interpreter" in outcome.reason


def test_a_missing_working_directory_is_told_apart_from_a_missing_program() -> None:
    outcome, _, _ = run_shell(":", cwd="/nonexistent/pack")
    assert outcome.ending is Ending.SPAWN_FAILED
    assert "/nonexistent/pack" in outcome.reason


def test_a_script_without_a_first_line_is_refused_with_the_remedy(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    outcome = run(ProcessRequest([str(script)], {}, None, b"", 5, lambda _: None, lambda _: None), StopRequest())
    assert outcome.ending is Ending.SPAWN_FAILED
    assert "#!" in outcome.reason


def test_a_program_name_is_looked_up_on_the_path_of_the_child(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    out: list[bytes] = []
    request = ProcessRequest(["tool"], {"PATH": str(tmp_path)}, None, b"", 5, out.append, lambda _: None)
    assert run(request, StopRequest()).exit_code == 0
    assert out == [b"found\n"]


def test_a_timeout_interrupts_the_whole_group() -> None:
    outcome, _, _ = run_shell("sleep 60 & sleep 60", timeout=0.05)
    assert outcome.ending is Ending.TIMEOUT
    assert outcome.seconds < 3


def test_a_child_that_ignores_the_interrupt_is_killed_after_the_grace() -> None:
    outcome, _, _ = run_shell("trap '' TERM; while :; do sleep 0.02; done", timeout=0.05, grace=0.1)
    assert (outcome.ending, outcome.signal) == (Ending.TIMEOUT, signal.SIGKILL)


def test_a_child_may_end_in_its_own_way_within_the_grace() -> None:
    outcome, out, _ = run_shell(
        "trap 'echo cleaned; exit 3' TERM; echo up; while :; do sleep 0.02; done", timeout=0.3, grace=5
    )
    assert (outcome.ending, outcome.exit_code, out) == (Ending.TIMEOUT, 3, b"up\ncleaned\n")


def test_a_cancellation_from_another_thread_ends_the_run() -> None:
    stop = StopRequest()
    outcome, _, _ = run_shell(
        "echo up; sleep 60 & wait", stop=stop, on_output=lambda _: stop.ask(Ending.CANCELLED) and None
    )
    assert outcome.ending is Ending.CANCELLED
    assert outcome.seconds < 3


def test_the_first_cause_wins() -> None:
    stop = StopRequest()
    assert stop.ask(Ending.SHUTDOWN)
    assert not stop.ask(Ending.CANCELLED)
    outcome, _, _ = run_shell("sleep 60", stop=stop)
    assert outcome.ending is Ending.SHUTDOWN


def test_a_request_after_the_end_is_refused() -> None:
    stop = StopRequest()
    run_shell(":", stop=stop)
    stop.close()
    assert not stop.ask(Ending.CANCELLED)


def test_a_background_process_that_holds_the_output_cannot_hold_up_the_end() -> None:
    started = time.monotonic()
    outcome, out, _ = run_shell("sleep 60 & echo $!")
    assert outcome.exit_code == 0
    assert time.monotonic() - started < 4
    assert wait_until(lambda: is_gone(int(out)))


def test_a_background_process_of_the_group_does_not_outlive_the_run() -> None:
    outcome, out, _ = run_shell("sleep 60 >/dev/null 2>&1 & echo $!")
    assert outcome.seconds < 2
    assert wait_until(lambda: is_gone(int(out)))


@pytest.mark.usefixtures("_subreaper")
def test_a_process_that_left_the_group_is_found_by_its_mark_and_killed() -> None:
    script = (
        "setsid sh -c 'echo $$; sleep 60 >/dev/null 2>&1 & echo $!; exec >/dev/null 2>&1; wait' & wait_=$!; sleep 0.2"
    )
    _, out, _ = run_shell(script, marker=f"ATTUNE_EXEC_ID={os.getpid()}001")
    pids = [int(word) for word in out.split()]
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.usefixtures("_subreaper")
def test_processes_of_other_executions_are_spared() -> None:
    other, out, _ = run_shell("setsid sleep 60 >/dev/null 2>&1 & echo $!", marker="ATTUNE_OTHER_MARK=1")
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
def _subreaper() -> None:
    assert become_subreaper()


def test_an_endless_writer_is_bounded_by_its_timeout_alone() -> None:
    total = 0

    def count(chunk: bytes) -> None:
        nonlocal total
        total += len(chunk)

    outcome, _, _ = run_shell("exec cat /dev/zero", timeout=0.2, on_output=count)
    assert outcome.ending is Ending.TIMEOUT
    assert total > 0


def test_no_descriptor_is_left_open_after_many_runs() -> None:
    run_shell(":")
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(20):
        run_shell("echo hello; exit 1", stdin=b"x")
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_failed_start_closes_each_descriptor_once(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []
    close = syscalls.close

    def record(fd: int) -> None:
        closed.append(fd)
        close(fd)

    monkeypatch.setattr(syscalls, "close", record)
    request = ProcessRequest(["/nonexistent/interpreter"], {}, None, b"x", 5, lambda _: None, lambda _: None)
    assert run(request, StopRequest()).ending is Ending.SPAWN_FAILED
    assert len(closed) == len(set(closed)) == 6


@pytest.mark.parametrize("word", ["nul\0character", "lone \ud800 surrogate"])
def test_what_no_program_can_be_given_is_a_failure_to_start(word: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    request = ProcessRequest(["/bin/echo", word], {}, None, b"", 5, lambda _: None, lambda _: None)
    stop = StopRequest()
    assert run(request, stop).ending is Ending.SPAWN_FAILED
    stop.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.usefixtures("_subreaper")
def test_a_run_that_is_cut_short_does_not_wait_for_whoever_holds_its_output() -> None:
    script = "trap '' TERM; setsid sleep 60 & echo up; while :; do sleep 0.02; done"
    outcome, _, _ = run_shell(script, timeout=0.3, grace=0.3, marker=f"ATTUNE_EXEC_ID={os.getpid()}002")
    assert outcome.ending is Ending.TIMEOUT
    assert outcome.seconds < 1.5


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
    assert run(request, StopRequest()).exit_code == 0
    assert b"".join(out) == b"a\nb\n"
