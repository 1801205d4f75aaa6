"""`install DIR` leaves DIR valid at every moment, keeps what runs, and removes what nobody uses."""

import hashlib
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.services.room import Room
from tests.services.waiting import until


def install(program: Path, directory: Path, *words: str) -> str:
    done = subprocess.run(
        [program, "install", directory, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def trees(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.glob(".attune-agent-*"))


@contextmanager
def running(directory: Path) -> Iterator[Path]:
    """Run the agent in ``directory``; yields the tree it runs from. It waits for an interpreter that never answers."""
    interpreter = directory / "bin" / "python3"
    interpreter.parent.mkdir(exist_ok=True)
    started = directory / "started"
    started.unlink(missing_ok=True)
    interpreter.write_text(f"#!/bin/sh\n: > {started}; exec sleep 600\n")
    interpreter.chmod(0o755)
    environment = {"PATH": f"{interpreter.parent}:/usr/bin:/bin"}
    agent = subprocess.Popen([directory / "attune-agent", "--detect-only"], env=environment, stdout=subprocess.DEVNULL)
    try:
        until(started.exists)
        yield Path(os.readlink(f"/proc/{agent.pid}/exe")).parents[1]
    finally:
        agent.kill()
        agent.wait()


def test_an_installed_directory_holds_the_program_and_its_files(agent_file: Path, tmp_path: Path) -> None:
    assert "installed in" in install(agent_file, tmp_path / "bin")
    program = tmp_path / "bin" / "attune-agent"
    (tree,) = (tmp_path / "bin").glob(".attune-agent-*")
    assert (program.read_bytes(), program.stat().st_mode & 0o7777) == (agent_file.read_bytes(), 0o555)
    modes = {(path.is_dir(), path.stat().st_mode & 0o7777) for path in [tree, *tree.rglob("*")]}
    assert modes == {(True, 0o755), (False, 0o555)}


def test_the_list_of_contents_names_every_file_and_its_digest(agent_file: Path, tmp_path: Path) -> None:
    install(agent_file, tmp_path)
    (tree,) = tmp_path.glob(".attune-agent-*")
    listed = {line.split(" ", 2)[2]: line.split(" ", 2)[0] for line in (tree / "CONTENTS").read_text().splitlines()}
    files = {path.relative_to(tree).as_posix(): path for path in tree.rglob("*") if path.is_file()}
    assert listed.keys() == files.keys() - {"CONTENTS"}
    for name, digest in listed.items():
        assert hashlib.blake2b(files[name].read_bytes(), digest_size=32).hexdigest() == digest


def test_installing_again_changes_nothing(agent_file: Path, tmp_path: Path) -> None:
    install(agent_file, tmp_path)
    before = {path: (path.stat().st_ino, path.stat().st_ctime_ns) for path in tmp_path.rglob("*")}
    assert "is current" in install(agent_file, tmp_path)
    assert {path: (path.stat().st_ino, path.stat().st_ctime_ns) for path in tmp_path.rglob("*")} == before


def test_an_installed_program_installs_itself_elsewhere(agent_file: Path, tmp_path: Path) -> None:
    install(agent_file, tmp_path / "one")
    install(tmp_path / "one" / "attune-agent", tmp_path / "two")
    assert trees(tmp_path / "one") == trees(tmp_path / "two")


@pytest.mark.parametrize("kind", ["content", "mode", "missing"])
def test_installing_repairs_what_a_start_would_not_see(agent_file: Path, tmp_path: Path, kind: str) -> None:
    install(agent_file, tmp_path)
    (tree,) = tmp_path.glob(".attune-agent-*")
    victim = next((tree / "_internal").glob("libpython*"))
    content = victim.read_bytes()
    victim.chmod(0o755)
    if kind == "content":
        victim.write_bytes(content[:-1] + b"x")
        victim.chmod(0o555)
    if kind == "missing":
        victim.unlink()
    done = subprocess.run([agent_file, "install", tmp_path], capture_output=True, text=True, check=True)
    assert victim.name in done.stderr
    assert (victim.read_bytes(), victim.stat().st_mode & 0o777) == (content, 0o555)
    assert trees(tmp_path) == [tree.name]


def test_a_directory_with_the_agent_of_another_architecture_is_left_alone(agent_file: Path, tmp_path: Path) -> None:
    """As on a volume that nodes of two architectures share: the workers there still run what they have."""
    install(agent_file, tmp_path)
    program = tmp_path / "attune-agent"
    content = bytearray(program.read_bytes())
    mine = {0x3E: "amd64", 0xB7: "arm64"}
    (own,) = struct.unpack_from("<H", content, 18)
    (other,) = mine.keys() - {own}
    struct.pack_into("<H", content, 18, other)
    program.chmod(0o755)
    program.write_bytes(content)
    program.chmod(0o555)
    done = subprocess.run([agent_file, "install", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 120
    assert f"{tmp_path} holds the agent for {mine[other]}, and this one is for {mine[own]}" in done.stderr
    assert program.read_bytes() == content


def test_a_version_that_runs_is_kept_and_goes_with_the_next_installation(
    agent_file: Path, other_agent_file: Path, tmp_path: Path
) -> None:
    install(agent_file, tmp_path)
    with running(tmp_path) as used:
        install(other_agent_file, tmp_path)
        assert len(trees(tmp_path)) == 2
        assert used.is_dir()
        assert subprocess.check_output([tmp_path / "attune-agent", "--version"]) == b"attune-agent 9.9.9\n"
    install(other_agent_file, tmp_path)
    assert trees(tmp_path) == [name for name in trees(tmp_path) if "9.9.9" in name]


def test_an_older_version_replaces_a_newer_one(agent_file: Path, other_agent_file: Path, tmp_path: Path) -> None:
    install(other_agent_file, tmp_path)
    with running(tmp_path) as used:
        install(agent_file, tmp_path)
        assert used.is_dir()
    assert b"9.9.9" not in subprocess.check_output([tmp_path / "attune-agent", "--version"])
    assert (tmp_path / "attune-agent").stat().st_size == agent_file.stat().st_size
    install(agent_file, tmp_path)
    assert len(trees(tmp_path)) == 1


def test_use_in_another_pid_namespace_is_seen(
    room: Room, agent_file: Path, other_agent_file: Path, tmp_path: Path
) -> None:
    install(agent_file, room.root / "opt")
    room.put(Path("/usr/bin/busybox"), "/bin/sh")
    room.put(Path("/usr/bin/busybox"), "/bin/sleep")
    interpreter = room.root / "bin" / "python3"
    command = f"/bin/sleep {10**6 + os.getpid()}".encode()  # no other run of these tests has the same
    interpreter.write_bytes(b"#!/bin/sh\nexec " + command + b"\n")
    interpreter.chmod(0o755)
    room.read_only = True
    agent = room.start("/opt/attune-agent", "--detect-only", env={"PATH": "/bin:/usr/bin:/usr/sbin"})
    try:
        until(lambda: command in subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True).stdout)
        install(other_agent_file, room.root / "opt")
        assert len(trees(room.root / "opt")) == 2
    finally:
        agent.kill()
        agent.communicate()


def test_two_installations_at_once_are_both_right(agent_file: Path, other_agent_file: Path, tmp_path: Path) -> None:
    for _ in range(3):
        both = [
            subprocess.Popen([program, "install", tmp_path], stdout=subprocess.DEVNULL)
            for program in (agent_file, other_agent_file, agent_file)
        ]
        assert [process.wait() for process in both] == [0, 0, 0]
        done = subprocess.run([tmp_path / "attune-agent", "--help"], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        assert not [name for name in trees(tmp_path) if "-tmp-" in name]


def test_the_program_can_be_started_at_every_moment_of_an_installation(
    agent_file: Path, other_agent_file: Path, tmp_path: Path
) -> None:
    install(agent_file, tmp_path)
    for program in (other_agent_file, agent_file):
        installing = subprocess.Popen([program, "install", tmp_path], stdout=subprocess.DEVNULL)
        while installing.poll() is None:
            done = subprocess.run([tmp_path / "attune-agent", "--help"], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
        assert installing.returncode == 0


def test_verify_runs_the_copy(agent_file: Path, tmp_path: Path) -> None:
    assert "installed in" in install(agent_file, tmp_path, "--verify")


def test_verify_fails_where_the_copy_cannot_run(room: Room, agent_file: Path) -> None:
    room.put(agent_file, "/attune-agent")
    (room.root / "opt").mkdir()
    room.mounts = ["mount -t tmpfs -o noexec tmpfs $ROOT/opt"]
    done = room.run("/attune-agent", "install", "/opt", "--verify")
    assert done.returncode == 120
    assert "mounted noexec" in done.stderr


def test_a_volume_of_the_same_group_can_be_used_by_changing_users(
    room: Room, agent_file: Path, other_agent_file: Path
) -> None:
    room.put(agent_file, "/attune-agent")
    room.put(other_agent_file, "/other-agent")
    (room.root / "opt").mkdir()
    os.chown(room.root / "opt", 65532, 0)
    (room.root / "opt").chmod(0o775)
    room.user = 10001
    assert room.run("/attune-agent", "install", "/opt").returncode == 0
    room.user = 10002
    assert room.run("/other-agent", "install", "/opt").returncode == 0
    room.read_only = True  # as workers mount it: whoever owns the directory can't exchange what is in it
    assert room.run("/opt/attune-agent", "--version").stdout == "attune-agent 9.9.9\n"
    assert room.run("/opt/attune-agent", "--help").stderr == ""


def test_a_fifo_in_the_place_of_the_program_does_not_hold_it_up(agent_file: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "attune-agent")
    assert "installed in" in install(agent_file, tmp_path)
    assert (tmp_path / "attune-agent").read_bytes() == agent_file.read_bytes()


def test_fifos_in_the_place_of_unpacked_files_are_replaced(agent_file: Path, tmp_path: Path) -> None:
    install(agent_file, tmp_path)
    (tree,) = tmp_path.glob(".attune-agent-*")
    shutil.rmtree(tree)
    os.mkfifo(tree, 0o755)
    done = subprocess.run([agent_file, "install", tmp_path], capture_output=True, text=True, timeout=30, check=True)
    assert "is not a directory" in done.stderr
    victim = next((tree / "_internal").glob("libpython*"))
    victim.unlink()
    os.mkfifo(victim, 0o555)
    done = subprocess.run([agent_file, "install", tmp_path], capture_output=True, text=True, timeout=30, check=True)
    assert "is of another kind" in done.stderr
    assert trees(tmp_path) == [tree.name]
    assert subprocess.run([tmp_path / "attune-agent", "--help"], capture_output=True, check=True).stderr == b""


@pytest.mark.parametrize("words", [[], ["--verify"], ["a", "b"], ["a", "--force"]])
def test_wrong_words_are_told_the_right_ones(agent_file: Path, tmp_path: Path, words: list[str]) -> None:
    done = subprocess.run([agent_file, "install", *words], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "usage: attune-agent install DIR [--verify]" in done.stderr


def test_a_read_only_directory_is_named(room: Room, agent_file: Path) -> None:
    room.put(agent_file, "/attune-agent")
    room.read_only = True
    done = room.run("/attune-agent", "install", "/opt")
    assert done.returncode == 120
    assert "can't make the directory /opt: Read-only file system" in done.stderr
