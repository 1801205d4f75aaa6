"""Supervision of one child: input, output, time limit, interrupt, kill, and what it leaves behind."""

from __future__ import annotations

import errno
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.process import supervisor, syscalls
from agent.process.cancellation import CancellationToken
from agent.process.job_mark import JobMark
from agent.process.oom_score import OOM_SCORE, OomScore, oom_score_of
from agent.process.prctl import become_subreaper
from agent.process.request import Ending, ProcessOutcome, ProcessRequest
from agent.process.supervisor import run
from tests.services.waiting import not_for_ever, until

Runner = Callable[..., tuple[ProcessOutcome, bytes, bytes]]


def run_shell(
    script: str,
    *,
    stdin: bytes = b"",
    timeout: float | None = 20.0,
    grace: float = 1.0,
    stop: CancellationToken | None = None,
    cwd: str | None = None,
    marker: str | None = None,
    score: int | None = None,
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
    mark = None if marker is None else JobMark(marker, score)
    request = ProcessRequest(["/bin/sh", "-c", script], env, cwd, stdin, timeout, take, err.append, mark, grace)
    own = stop or CancellationToken()
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


def test_a_program_that_does_not_exist_is_told_with_its_name(tmp_path: Path) -> None:
    request = ProcessRequest([f"{tmp_path}/absent/interpreter"], {}, None, b"", 5, lambda _: None, lambda _: None)
    outcome = run(request, CancellationToken())
    assert outcome.ending is Ending.SPAWN_FAILED
    assert f"{tmp_path}/absent/interpreter" in outcome.reason


def test_a_missing_working_directory_is_told_apart_from_a_missing_program(tmp_path: Path) -> None:
    outcome, _, _ = run_shell(":", cwd=f"{tmp_path}/absent")
    assert outcome.ending is Ending.SPAWN_FAILED
    assert f"{tmp_path}/absent" in outcome.reason


def test_a_script_without_a_first_line_is_refused_with_the_remedy(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    outcome = run(ProcessRequest([str(script)], {}, None, b"", 5, lambda _: None, lambda _: None), CancellationToken())
    assert outcome.ending is Ending.SPAWN_FAILED
    assert "#!" in outcome.reason


def test_a_program_name_is_looked_up_on_the_path_of_the_child(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    out: list[bytes] = []
    request = ProcessRequest(["tool"], {"PATH": str(tmp_path)}, None, b"", 5, out.append, lambda _: None)
    assert run(request, CancellationToken()).exit_code == 0
    assert out == [b"found\n"]


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
    outcome, _, _ = run_shell("sleep 60", stop=stop)
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


def wait_for(file: Path) -> str:
    """Return what a shell waits with until ``file`` is there."""
    return f"until [ -e {file} ]; do sleep 0.01; done"


@pytest.fixture
def _subreaper() -> None:
    assert become_subreaper()


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


def test_a_failed_start_closes_each_descriptor_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []
    close = syscalls.close

    def record(fd: int) -> None:
        closed.append(fd)
        close(fd)

    monkeypatch.setattr(syscalls, "close", record)
    request = ProcessRequest([f"{tmp_path}/absent"], {}, None, b"x", 5, lambda _: None, lambda _: None)
    assert run(request, CancellationToken()).ending is Ending.SPAWN_FAILED
    assert len(closed) == len(set(closed)) == 6


@pytest.mark.parametrize("word", ["nul\0character", "lone \ud800 surrogate"])
def test_what_no_program_can_be_given_is_a_failure_to_start(word: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    request = ProcessRequest(["/bin/echo", word], {}, None, b"", 5, lambda _: None, lambda _: None)
    stop = CancellationToken()
    assert run(request, stop).ending is Ending.SPAWN_FAILED
    stop.close()
    assert len(os.listdir("/proc/self/fd")) == before


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


@pytest.mark.parametrize("want", [errno.EAGAIN, errno.EMFILE, errno.ENOMEM])
def test_a_start_waits_while_the_machine_has_no_room_for_it(monkeypatch: pytest.MonkeyPatch, want: int) -> None:
    refusals = [want, want]
    start = supervisor.spawn

    def refuse(*arguments: Any, **options: Any) -> int:
        if refusals:
            raise OSError(refusals.pop(), "no room")
        return start(*arguments, **options)

    monkeypatch.setattr(supervisor, "spawn", refuse)
    outcome, out, _ = run_shell("echo started")
    assert (outcome.exit_code, out) == (0, b"started\n")


def test_a_start_that_waits_ends_when_its_end_is_asked_for_or_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = CancellationToken()

    def refuse(*_: Any, **__: Any) -> int:
        stop.cancel(Ending.CANCELLED)
        raise OSError(errno.EAGAIN, "no room")

    monkeypatch.setattr(supervisor, "spawn", refuse)
    assert run_shell(":", stop=stop, timeout=None)[0].ending is Ending.CANCELLED
    outcome, _, _ = run_shell(":", timeout=0.1)
    assert outcome.ending is Ending.SPAWN_FAILED
    assert "--pids-limit" in outcome.reason


def test_the_limit_of_open_files_is_raised_for_the_slots_and_children_keep_the_one_that_was_given() -> None:
    # In a process of its own: a limit can't be taken back once it is lowered.
    code = (
        "import resource, sys\nfrom agent.process.open_files import OPEN_FILES\n"
        "from agent.process.command import run_command\nimport os\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4000))\n"
        "print(OPEN_FILES.raise_for(60), resource.getrlimit(resource.RLIMIT_NOFILE))\n"
        "print(run_command(['sh', '-c', 'ulimit -Sn; ulimit -Hn'], timeout=20).stdout.split())\n"
        "kept = [os.open('/dev/null', 0) for _ in range(300)]\n"
        "print(run_command(['sh', '-c', 'sleep 0.3; ulimit -Sn'], timeout=20).stdout.split())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["848 (848, 4000)", "[b'256', b'4000']", "[b'256']"]
