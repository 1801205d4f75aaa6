"""``attune demo`` on a machine that has little: it ends with a table and leaves nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.command import argv, environment, run
from tests.services.waiting import until

pytestmark = pytest.mark.postgres


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the embedded server can walk to, which may run as a user of its own.

    Not below pytest's own: each run of pytest on this machine closes that to other users when it starts.
    """
    directory = Path(tempfile.mkdtemp(prefix="attune-machine-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def machine(place: Path) -> dict[str, str]:
    """A machine with a shell, the programs that scripts use, and a Perl that doesn't work."""
    programs = place / "bin"
    programs.mkdir()
    for name in ("sh", "bash", "cat", "uname", "sed", "head", "tr", "id", "useradd", "sleep"):
        found = shutil.which(name)
        if found:
            (programs / name).symlink_to(found)
    temporary = place / "tmp"
    temporary.mkdir()
    temporary.chmod(0o777)
    return {"PATH": str(programs), "TMPDIR": str(temporary)}


def start(machine: dict[str, str], *words: str) -> subprocess.Popen[str]:
    """Start a demo."""
    return subprocess.Popen(
        argv("attune", "demo", *words),
        env=environment(machine),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_nothing_is_left(machine: dict[str, str], demo: int) -> None:
    """Nothing of this demo may stay; a process that was killed takes a moment to die."""
    until(lambda: not [name for name in left_over(machine, demo) if "attune" in name], "an end without traces")


def left_over(machine: dict[str, str], demo: int) -> list[str]:
    """Return what this demo, a process, left: processes that name its directory, and files. Others may run too."""
    directory = machine["TMPDIR"]
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):  # as fast as can be: some stages are short
        with contextlib.suppress(OSError):
            commands.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    files = [*os.listdir(directory), *(path.name for path in Path("/tmp").glob(f"attune-demo-{demo}-*"))]
    return [command for command in commands if f"{directory}/attune-demo" in command] + files


def test_every_runtime_of_the_machine_runs_its_action(machine: dict[str, str]) -> None:
    demo = start(machine)
    out, err = demo.communicate(timeout=300)
    assert demo.returncode == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["RUNTIME", "VERSION", "OTHERS", "PATH", "ENVIRONMENT", "ACTION", "STATUS", "TIME", "OUTPUT"]
    rows = {words[0]: words for words in lines[2:] if words}
    assert set(rows) == {"shell", "native"}
    assert all("completed" in words for words in rows.values())
    assert "✓ 2 of 2 actions completed" in err
    assert_nothing_is_left(machine, demo.pid)


def test_the_versions_of_a_language_and_the_environment_that_was_built_are_shown(
    machine: dict[str, str], place: Path
) -> None:
    for name, version in (("node", "22.1.0"), ("node18", "18.20.1")):
        program = place / "bin" / name
        program.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo v{version} && exit\necho \'{{"greeting": "hi"}}\'\n',
            encoding="utf-8",
        )
        program.chmod(0o755)
    for name in ("mkdir", "cp"):
        (place / "bin" / name).symlink_to(str(shutil.which(name)))
    done = run("attune", "demo", "--json", settings=machine, timeout=300)
    assert done.returncode == 0, done.stderr
    row = next(row for row in json.loads(done.stdout) if row["runtime"] == "node")
    assert (row["version"], row["other_versions"]) == ("22.1.0", ["18.20.1"])
    assert row["environment"].startswith("examples/node")


def test_an_action_that_does_not_complete_is_shown_and_ends_with_1(machine: dict[str, str], place: Path) -> None:
    perl = place / "bin" / "perl"
    perl.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo v5.36.0 && exit\necho broken >&2; exit 3\n', encoding="utf-8"
    )
    perl.chmod(0o755)
    demo = start(machine, "--json")
    out, err = demo.communicate(timeout=300)
    assert demo.returncode == 1
    rows = {row["runtime"]: row for row in json.loads(out)}
    assert (rows["perl"]["status"], rows["perl"]["output"]) == ("failed", "broken")
    assert rows["shell"]["status"] == "completed"
    assert "✗ 2 of 3 actions completed" in err
    assert_nothing_is_left(machine, demo.pid)


@pytest.mark.parametrize(
    ("number", "stage"),
    [
        (signal.SIGINT, "agent.cli.main"),
        (signal.SIGTERM, "agent.cli.main"),
        (signal.SIGINT, "initdb"),
        (signal.SIGINT, "bin/postgres -D"),
    ],
)
def test_an_interrupted_demo_leaves_nothing(machine: dict[str, str], number: signal.Signals, stage: str) -> None:
    demo = start(machine)
    until(lambda: demo.poll() is not None or any(stage in entry for entry in left_over(machine, demo.pid)))
    assert demo.poll() is None, demo.communicate()
    demo.send_signal(number)
    _, err = demo.communicate(timeout=300)
    assert demo.returncode == 130
    assert "Traceback" not in err
    assert_nothing_is_left(machine, demo.pid)


def test_the_settings_of_the_caller_change_nothing(machine: dict[str, str]) -> None:
    hostile = {
        "ATTUNE__DATABASE__URL": "postgresql://nowhere/x",
        "ATTUNE_CONFIG": "/no.yaml",
        "ATTUNE_WORKER_RUNTIMES": "r",
    }
    assert run("attune", "demo", "--json", settings={**machine, **hostile}, timeout=300).returncode == 0
