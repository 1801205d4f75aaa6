"""A child that can't be started says why; one for which there is no room is waited for."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.process import supervisor, syscalls
from agent.process.cancellation import CancellationToken
from agent.process.request import Ending, ProcessRequest
from agent.process.supervisor import run
from tests.unit.process.shells import run_shell


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
