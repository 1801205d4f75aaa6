"""Where the one-file agent unpacks itself, what it refuses to use, and what it does about damage."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.services.room import Room

USAGE = "usage: attune-agent"
HELP = ("/a/attune-agent", "--help")
USER = 12345


@pytest.fixture
def room(room: Room, agent_file: Path) -> Room:
    """A root directory with the single file, a user that may write to /tmp only, and nothing else."""
    room.put(agent_file, "/a/attune-agent")
    (room.root / "tmp").mkdir()
    (room.root / "tmp").chmod(0o1777)
    (room.root / "proc").mkdir()
    room.user = USER
    return room


def tree_in(directory: Path) -> Path:
    (tree,) = directory.glob(".attune-agent-*")
    return tree


def own(directory: Path, user: int) -> None:
    for path in [directory, *directory.rglob("*")]:
        os.chown(path, user, 0, follow_symlinks=False)


def test_root_unpacks_beside_the_file(room: Room) -> None:
    room.user = 0
    assert room.run(*HELP).stdout.startswith(USAGE)
    assert tree_in(room.root / "a").is_dir()
    assert list((room.root / "tmp").iterdir()) == []


def test_others_unpack_into_a_private_directory_once(room: Room) -> None:
    assert room.run(*HELP).returncode == 0
    private = room.root / "tmp" / f"attune-agent-{USER}"
    before = tree_in(private).stat()
    assert room.run(*HELP).returncode == 0
    after = tree_in(private).stat()
    assert (private.stat().st_mode & 0o777, private.stat().st_uid) == (0o700, USER)
    assert (before.st_ino, before.st_ctime_ns) == (after.st_ino, after.st_ctime_ns)


def test_the_cache_directory_of_the_user_comes_before_tmp(room: Room) -> None:
    (room.root / "home").mkdir()
    os.chown(room.root / "home", USER, 0)
    assert room.run(*HELP, env={"HOME": "/home"}).returncode == 0
    assert tree_in(room.root / "home" / ".cache" / "attune-agent").is_dir()


def test_a_noexec_mount_is_passed_over(room: Room) -> None:
    (room.root / "var/tmp").mkdir(parents=True)
    (room.root / "var/tmp").chmod(0o1777)
    room.mounts = ["mount -t tmpfs -o noexec,mode=1777 tmpfs $ROOT/var/tmp"]
    assert room.run(*HELP).stdout.startswith(USAGE)
    assert tree_in(room.root / "tmp" / f"attune-agent-{USER}").is_dir()


@pytest.mark.parametrize("user", [0, USER])
def test_without_a_place_it_says_what_was_tried_and_what_to_do(room: Room, user: int) -> None:
    room.user, room.read_only = user, True
    room.mounts = ["mount -t tmpfs -o noexec,mode=1777 tmpfs $ROOT/tmp"]
    done = room.run(*HELP)
    assert done.returncode == 120
    assert "/a: read-only" in done.stderr
    assert f"/tmp/attune-agent-{user}: mounted noexec" in done.stderr
    assert "attune-agent install DIR" in done.stderr
    assert done.stderr.count("\n") == 1


def test_roots_last_resort_in_a_read_only_container_is_dev(room: Room) -> None:
    room.user, room.read_only = 0, True
    room.mounts = ["mount -t tmpfs -o size=64m,mode=755 tmpfs $ROOT/dev"]
    assert room.run(*HELP).stdout.startswith(USAGE)


def test_a_full_disk_is_passed_over(room: Room) -> None:
    (room.root / "var/tmp").mkdir(parents=True)
    room.mounts = ["mount -t tmpfs -o size=10m,mode=1777 tmpfs $ROOT/var/tmp"]
    assert room.run(*HELP).stdout.startswith(USAGE)
    room.read_only = True
    shutil.rmtree(room.root / "tmp" / f"attune-agent-{USER}")
    done = room.run(*HELP)
    assert done.returncode == 120
    assert f"/var/tmp/attune-agent-{USER}: only 10 MB free" in done.stderr


def test_a_disk_that_fills_half_way_is_left_clean_and_passed_over(room: Room) -> None:
    small = room.root / "var/tmp"
    small.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=20,mode=1777", "tmpfs", small], check=True)
    try:
        assert room.run(*HELP).stdout.startswith(USAGE)
        assert list((small / f"attune-agent-{USER}").iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)
    assert tree_in(room.root / "tmp" / f"attune-agent-{USER}").is_dir()


def test_a_chosen_directory_is_the_only_one(room: Room) -> None:
    done = room.run(*HELP, env={"ATTUNE_LAUNCHER_DIR": "/nowhere"})
    assert done.returncode == 120
    assert "(/nowhere: absent)" in done.stderr
    (room.root / "chosen").mkdir()
    os.chown(room.root / "chosen", USER, 0)
    assert room.run(*HELP, env={"ATTUNE_LAUNCHER_DIR": "/chosen"}).returncode == 0
    assert tree_in(room.root / "chosen").is_dir()


def test_a_directory_that_somebody_else_made_for_us_is_refused(room: Room) -> None:
    (room.root / "var/tmp").mkdir(parents=True)
    (room.root / "var/tmp").chmod(0o1777)
    room.user = 999
    assert room.run(*HELP).returncode == 0
    shutil.move(room.root / "var/tmp/attune-agent-999", room.root / f"var/tmp/attune-agent-{USER}")
    room.user = USER
    assert room.run(*HELP).returncode == 0
    assert tree_in(room.root / "tmp" / f"attune-agent-{USER}").is_dir()


def test_a_symbolic_link_in_place_of_our_directory_is_refused(room: Room) -> None:
    (room.root / "var/tmp").mkdir(parents=True)
    (room.root / "var/tmp").chmod(0o1777)
    (room.root / "elsewhere").mkdir()
    (room.root / "elsewhere").chmod(0o777)
    (room.root / f"var/tmp/attune-agent-{USER}").symlink_to("/elsewhere")
    assert room.run(*HELP).returncode == 0
    assert list((room.root / "elsewhere").iterdir()) == []


def test_a_tree_beside_the_file_that_a_stranger_owns_is_named_and_not_used(room: Room) -> None:
    room.user = 0
    assert room.run(*HELP).returncode == 0
    own(tree_in(room.root / "a"), 999)
    room.user = USER
    done = room.run(*HELP)
    assert (done.returncode, done.stdout[: len(USAGE)]) == (0, USAGE)
    assert "belongs to user 999" in done.stderr
    assert tree_in(room.root / "tmp" / f"attune-agent-{USER}").is_dir()


def test_root_runs_nothing_below_a_directory_of_another_user(room: Room) -> None:
    room.user = 0
    theirs = room.root / "home" / "them"
    (theirs / "tmp").mkdir(parents=True)
    os.chown(theirs, 999, 999)
    room.read_only = False
    (room.root / "a").chmod(0o777)  # nothing is unpacked beside the file
    done = room.run(*HELP, env={"TMPDIR": "/home/them/tmp"})
    assert (done.returncode, done.stdout[: len(USAGE)]) == (0, USAGE)
    assert list((theirs / "tmp").iterdir()) == []
    assert tree_in(room.root / "tmp" / "attune-agent-0").is_dir()
    done = room.run(*HELP, env={"ATTUNE_LAUNCHER_DIR": "/home/them/tmp"})
    assert done.returncode == 120
    assert "/home/them belongs to user 999, who could exchange what is in it" in done.stderr


def test_a_link_to_a_directory_of_another_user_changes_nothing(room: Room) -> None:
    room.user = 0
    theirs = room.root / "home" / "them"
    theirs.mkdir(parents=True)
    os.chown(theirs, 999, 999)
    (room.root / "link").symlink_to("/home/them")
    done = room.run(*HELP, env={"ATTUNE_LAUNCHER_DIR": "/link"})
    assert (done.returncode, "/home/them belongs to user 999" in done.stderr) == (120, True)


@pytest.mark.parametrize(("owner", "mode"), [((999, 0), 0o755), ((0, 999), 0o775), ((0, 0), 0o777)])
def test_unpacked_files_that_somebody_else_could_exchange_are_named_and_not_used(
    room: Room, owner: tuple[int, int], mode: int
) -> None:
    room.user = 0
    assert room.run(*HELP).returncode == 0
    os.chown(room.root / "a", *owner)
    (room.root / "a").chmod(mode)
    for user in (0, USER):
        room.user = user
        done = room.run(*HELP)
        assert (done.returncode, done.stdout[: len(USAGE)]) == (0, USAGE)
        assert "does not use the unpacked files in /a: /a " in done.stderr
        assert tree_in(room.root / "tmp" / f"attune-agent-{user}").is_dir()


@pytest.mark.parametrize(
    ("owner", "mode", "read_only"),
    [
        pytest.param((65532, 0), 0o775, False, id="volume of Compose"),
        pytest.param((65532, 0), 0o775, True, id="volume of Compose, read-only"),
        pytest.param((0, 65532), 0o2777, True, id="emptyDir"),
        pytest.param((0, 0), 0o755, False, id="layer of the image"),
    ],
)
@pytest.mark.parametrize("user", [0, USER])
def test_what_containers_mount_starts_from_where_it_was_installed(
    room: Room, owner: tuple[int, int], mode: int, read_only: bool, user: int
) -> None:
    volume = room.root / "opt"
    volume.mkdir()
    os.chown(volume, *owner)
    volume.chmod(mode)
    room.user = 65532 if mode != 0o755 else 0
    assert room.run("/a/attune-agent", "install", "/opt").returncode == 0
    room.user = user
    if read_only:
        room.mounts = ["mount --bind $ROOT/opt $ROOT/opt", "mount -o remount,bind,ro $ROOT/opt"]
    done = room.run("/opt/attune-agent", "--help")
    assert (done.returncode, done.stdout[: len(USAGE)], done.stderr) == (0, USAGE, "")
    assert list((room.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("bit", [0o4000, 0o2000])
def test_a_copy_that_gives_the_rights_of_another_user_is_refused(room: Room, bit: int) -> None:
    (room.root / "a" / "attune-agent").chmod(0o555 | bit)
    room.group = USER
    for words in (HELP, ("/a/attune-agent", "install", "/tmp/x"), ("/a/attune-agent", "health")):
        done = room.run(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "refuses to start with the rights of another user" in done.stderr


def test_a_tree_that_others_may_change_is_not_used(room: Room) -> None:
    room.user = 0
    assert room.run(*HELP).returncode == 0
    tree_in(room.root / "a").chmod(0o777)
    room.user = USER
    assert "has mode 0777" in room.run(*HELP).stderr


@pytest.mark.parametrize("damage", ["truncate", "remove", "mode", "link"])
def test_damage_is_repaired_where_that_is_allowed_and_named_where_not(room: Room, damage: str) -> None:
    room.user = 0
    assert room.run(*HELP).returncode == 0
    tree = tree_in(room.root / "a")
    victim = next((tree / "_internal").glob("libpython*"))
    content = victim.read_bytes()
    if damage == "mode":
        victim.chmod(0o755)
    else:
        victim.unlink()
        if damage == "truncate":
            victim.write_bytes(content[:100])
        if damage == "link":
            victim.symlink_to("/a/attune-agent")
    room.user = USER
    named = room.run(*HELP)
    assert (named.returncode, victim.name in named.stderr) == (0, True)
    room.user = 0
    assert room.run(*HELP).returncode == 0
    assert (victim.read_bytes(), victim.stat().st_mode & 0o777) == (content, 0o555)
    assert tree_in(room.root / "a") == tree
    assert room.run(*HELP).stderr == ""


def test_a_start_that_is_killed_while_it_unpacks_does_no_harm(room: Room) -> None:
    room.user = 0
    for step in range(12):
        started = room.start(*HELP)
        time.sleep(0.03 * step)  # the moment of the kill is what varies
        started.send_signal(signal.SIGKILL)
        started.communicate()
    done = room.run(*HELP)
    assert done.stdout.startswith(USAGE)
    assert tree_in(room.root / "a").is_dir()


def test_starts_at_the_same_time_unpack_once(room: Room) -> None:
    started = [room.start(*HELP) for _ in range(6)]
    results = [(process.communicate()[0][: len(USAGE)], process.returncode) for process in started]
    assert results == [(USAGE, 0)] * 6
    assert tree_in(room.root / "tmp" / f"attune-agent-{USER}").is_dir()
