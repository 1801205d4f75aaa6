"""The one-file agent starts in any root file system, as one process, and says why where it can't."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.availability import unavailable
from tests.services.room import Room

USAGE = "usage: attune-agent"
HELP = ("/a/attune-agent", "--help")


def trees(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.glob(".attune-agent-*"))


def elsewhere(directory: Path) -> dict[str, str]:
    """Return the environment of a start that looks for its files in a new directory only, not where others unpacked."""
    (directory / "unpacked").mkdir()
    return {**os.environ, "ATTUNE_LAUNCHER_DIR": str(directory / "unpacked")}


@pytest.mark.parametrize("user", [0, 65532, 12345])
@pytest.mark.parametrize("proc", [True, False])
def test_it_starts_in_a_root_that_holds_nothing_else(room: Room, agent_file: Path, user: int, proc: bool) -> None:
    room.put(agent_file, "/a/attune-agent")
    for name in ("tmp", "proc"):
        (room.root / name).mkdir()
    (room.root / "tmp").chmod(0o1777)
    room.user, room.proc = user, proc
    done = room.run(*HELP)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(USAGE)


def test_an_installed_agent_writes_nothing_when_it_starts(room: Room, agent_file: Path) -> None:
    subprocess.run([agent_file, "install", room.root / "opt"], check=True, capture_output=True)
    room.read_only, room.user = True, 12345
    done = room.run("/opt/attune-agent", "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_no_dynamic_executable(agent_file: Path) -> None:
    done = subprocess.run(["ldd", agent_file], capture_output=True, text=True, check=False)
    assert "not a dynamic executable" in done.stdout + done.stderr


def test_the_version_and_health_need_no_python_and_no_directory(room: Room, agent_file: Path) -> None:
    room.put(agent_file, "/attune-agent")
    room.read_only = True
    version, health = room.run("/attune-agent", "--version"), room.run("/attune-agent", "health")
    assert version.stdout.startswith("attune-agent ")
    assert (health.returncode, health.stderr) == (1, "attune-agent: no agent runs in this container\n")
    assert trees(room.root) == []


@pytest.mark.parametrize("mode", [0o111, 0o311, 0o555])
def test_it_unpacks_even_where_its_own_file_may_not_be_read(room: Room, agent_file: Path, mode: int) -> None:
    room.put(agent_file, "/a/attune-agent", mode)
    room.user = 12345
    (room.root / "tmp").mkdir()
    (room.root / "tmp").chmod(0o1777)
    assert room.run(*HELP).stdout.startswith(USAGE)


def test_a_file_that_was_cut_short_is_named(agent_file: Path, tmp_path: Path) -> None:
    short = tmp_path / "attune-agent"
    short.write_bytes(agent_file.read_bytes()[:5_000_000])
    short.chmod(0o555)
    done = subprocess.run([short], env=elsewhere(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 122
    assert "is damaged: it has 5000000 bytes" in done.stderr


def test_a_file_with_other_bytes_is_named(agent_file: Path, tmp_path: Path) -> None:
    content = bytearray(agent_file.read_bytes())
    content[-3_000_000] ^= 0xFF
    changed = tmp_path / "attune-agent"
    changed.write_bytes(content)
    changed.chmod(0o555)
    done = subprocess.run([changed], env=elsewhere(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 122
    assert "its own file is damaged" in done.stderr
    assert trees(tmp_path / "unpacked") == trees(tmp_path) == []


def test_an_old_kernel_is_named(agent_file: Path, tmp_path: Path) -> None:
    command = ["setarch", "--uname-2.6", str(agent_file), "--help"]
    done = subprocess.run(command, env=elsewhere(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 121
    assert "is too old" in done.stderr


def test_it_says_so_when_it_cannot_find_itself(room: Room, agent_file: Path) -> None:
    program = os.open(agent_file, os.O_RDONLY)
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(room.root / "stderr", os.O_WRONLY | os.O_CREAT), 2)
            os.chroot(room.root)
            os.chdir("/")
            os.execve(program, ["attune-agent"], {})
        finally:
            os._exit(99)
    os.close(program)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 123
    assert "can't find its own file" in (room.root / "stderr").read_text()


def test_the_agent_is_the_process_that_was_started(agent_file: Path, tmp_path: Path) -> None:
    subprocess.run([agent_file, "install", tmp_path], check=True, capture_output=True)
    interpreter = tmp_path / "bin" / "python3"
    interpreter.parent.mkdir()
    interpreter.write_text(
        '#!/bin/sh\nread name < "/proc/$PPID/comm"; echo "$PPID $name" > "$OUT"; echo Python 3.11.2\n'
    )
    interpreter.chmod(0o755)
    environment = {"PATH": f"{interpreter.parent}:/usr/bin:/bin", "OUT": str(tmp_path / "parent")}
    with subprocess.Popen(
        [tmp_path / "attune-agent", "--detect-only"], env=environment, stdout=subprocess.DEVNULL
    ) as it:
        assert it.wait() == 0
    assert (tmp_path / "parent").read_text() == f"{it.pid} attune-agent\n"


def test_a_child_sees_the_environment_that_the_agent_was_given(agent_file: Path, tmp_path: Path) -> None:
    subprocess.run([agent_file, "install", tmp_path], check=True, capture_output=True)
    interpreter = tmp_path / "bin" / "python3"
    interpreter.parent.mkdir()
    interpreter.write_text(
        '#!/bin/sh\ncat /proc/$$/environ > "$OUT"; ls -l /proc/$$/fd > "$OUT.fd"; echo Python 3.11.2\n'
    )
    interpreter.chmod(0o755)
    environment = {
        "PATH": f"{interpreter.parent}:/usr/bin:/bin",
        "OUT": str(tmp_path / "environment"),
        "LD_LIBRARY_PATH": "/opt/app/lib",
        "GLIBC_TUNABLES": "glibc.malloc.check=0",
        "LC_ALL": "de_DE.UTF-8",
        "LANG": "C",
        "OPENSSL_CONF": "/etc/app/openssl.cnf",
        "VIRTUAL_ENV": "/opt/venv",
        "PYTHONPATH": "/opt/app",
        "MALLOC_ARENA_MAX": "1",
    }
    done = subprocess.run(
        [tmp_path / "attune-agent", "--detect-only"], env=environment, capture_output=True, text=True, check=True
    )
    seen = (tmp_path / "environment").read_bytes().rstrip(b"\0").split(b"\0")
    assert dict(word.decode().split("=", 1) for word in seen) == environment
    assert ".attune-agent" not in (tmp_path / "environment.fd").read_text()
    assert done.stderr == ""


def test_health_does_not_believe_another_user(agent_file: Path) -> None:
    if os.geteuid() != 0:
        unavailable("another user", "run as root")
    # A mount namespace of its own: the names of the sockets hold its number.
    script = """
import os, socket, subprocess, sys
from agent.presence import health_socket
ready, report = os.pipe()
if (child := os.fork()) == 0:
    os.setresuid(999, 999, 999)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(next(health_socket._addresses()))
    listener.listen()
    os.write(report, b"x")
    while True:
        listener.accept()[0].sendall(b"yes\\n")
os.read(ready, 1)
done = subprocess.run([sys.argv[1], "health"], capture_output=True, text=True)
os.kill(child, 9)
print(done.returncode, done.stderr)
"""
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", script, agent_file], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("1 attune-agent: the socket belongs to another user"), done.stderr
