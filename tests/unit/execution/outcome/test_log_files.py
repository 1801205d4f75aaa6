"""Logs are ours alone: what a job puts in their place, or makes of them, is neither opened nor kept."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.execution.outcome.log_files import ArtifactFiles, LogWriter
from agent.execution.report import AllocatedFile, LogFile

SECRET = "only the agent may read this"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the artifacts, with a file."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text(SECRET)
    (tmp_path / "outside" / "file").chmod(0o600)
    return tmp_path / "outside"


@pytest.fixture
def root(tmp_path: Path, outside: Path) -> Path:
    """The artifacts directory, with that of an execution to come."""
    (tmp_path / "artifacts" / "execution_1").mkdir(parents=True)
    return tmp_path / "artifacts"


def written(root: Path, text: bytes = b"log") -> tuple[ArtifactFiles, LogWriter]:
    files = ArtifactFiles(root)
    writer = files.live_log(1, "stdout", "ops.rotate")
    writer.write(text)
    writer.close()
    return files, writer


def as_log(writer: LogWriter) -> LogFile:
    return LogFile("stdout", "a.b.stdout.log", writer.path, writer.size_bytes, "days", 1, writer.inode)


def as_left(left: tuple[str, int, tuple[int, int]]) -> LogFile:
    path, size, inode = left
    return LogFile("stdout", "a.b.stdout.log", path, size, "days", 1, inode, left=True)


def untouched(outside: Path) -> bool:
    (file,) = outside.iterdir()
    return (file.read_text(), file.stat().st_mode & 0o777) == (SECRET, 0o600)


PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "a FIFO": lambda log, _: os.mkfifo(log),
    "a link": lambda log, outside: log.symlink_to(outside / "file"),
    "a link to nothing": lambda log, outside: log.symlink_to(outside / "new"),
    "a hard link": lambda log, outside: log.hardlink_to(outside / "file"),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_what_was_put_in_the_place_of_a_log_is_removed(
    root: Path, outside: Path, plant: Callable[[Path, Path], object]
) -> None:
    plant(root / "execution_1" / "stdout.log", outside)
    plant(root / "execution_1" / "result.json", outside)
    files, writer = written(root)
    files.write_result(1, {"a": 1})
    assert writer.kept
    assert (root / "execution_1" / "stdout.log").read_bytes() == b"log"
    assert not (root / "execution_1" / "result.json").is_symlink()
    assert untouched(outside)


@pytest.mark.parametrize("plant", ["link", "fifo"])
def test_a_directory_that_leads_elsewhere_keeps_no_log(root: Path, outside: Path, plant: str) -> None:
    (root / "execution_1").rmdir()
    (root / "execution_1").symlink_to(outside) if plant == "link" else os.mkfifo(root / "execution_1")
    files, writer = written(root)
    files.write_result(1, {"a": 1})
    assert not writer.kept
    assert untouched(outside)


def test_a_log_gets_its_final_name_and_leaves_a_link(root: Path) -> None:
    files, writer = written(root)
    final = files.place(as_log(writer), "a/b/stdout/v1.log")
    assert final == f"{root}/a/b/stdout/v1.log"
    files.retire(writer.path, final)
    assert Path(final).read_bytes() == b"log"
    assert os.readlink(writer.path) == "../a/b/stdout/v1.log"


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_a_log_that_was_exchanged_is_not_kept(root: Path, outside: Path, plant: Callable[[Path, Path], object]) -> None:
    files, writer = written(root)
    os.unlink(writer.path)
    plant(Path(writer.path), outside)
    assert files.place(as_log(writer), "a/v1.log") is None
    assert not (root / "a" / "v1.log").exists()
    assert untouched(outside)


@pytest.mark.parametrize("path", ["../outside/file", "/etc/passwd", "link/file"])
def test_a_name_from_a_row_that_leads_elsewhere_is_neither_measured_nor_removed_nor_written(
    root: Path, outside: Path, path: str
) -> None:
    (root / "link").symlink_to(outside)
    files, writer = written(root)
    assert files.measure([AllocatedFile(7, 1, 1, path, None)]) == {7: 0}
    files.delete(path)
    assert files.place(as_log(writer), path) is None
    assert untouched(outside)


def test_the_final_name_may_be_taken_by_what_a_rolled_back_transaction_left(root: Path, outside: Path) -> None:
    files, writer = written(root)
    (root / "a").mkdir()
    (root / "a" / "v1.log").symlink_to(outside / "file")
    assert files.place(as_log(writer), "a/v1.log") is not None
    assert not (root / "a" / "v1.log").is_symlink()
    assert untouched(outside)


def test_files_that_actions_allocated_are_measured_and_removed(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "full").write_text("12345")
    (root / "a" / "empty").touch()
    files = ArtifactFiles(root)
    made = [AllocatedFile(number, 1, 1, f"a/{name}", None) for number, name in enumerate(("full", "empty", "missing"))]
    assert files.measure(made) == {0: 5, 1: 0, 2: 0}
    files.delete("a/empty")
    assert [path.name for path in (root / "a").iterdir()] == ["full"]


def test_a_log_that_an_earlier_process_left_is_found_with_the_file_that_it_is(root: Path) -> None:
    files, writer = written(root)
    assert files.left_log(1, "stdout") == (writer.path, 3, writer.inode)
    assert files.left_log(1, "stderr") is None


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_nothing_else_in_the_place_of_a_left_log_is_taken_for_it(
    root: Path, outside: Path, plant: Callable[[Path, Path], object]
) -> None:
    plant(root / "execution_1" / "stdout.log", outside)
    files = ArtifactFiles(root)
    left = files.left_log(1, "stdout")
    if left is not None:
        assert files.place(as_left(left), "a/v1.log") is None
    assert not (root / "a" / "v1.log").exists()
    assert untouched(outside)


def test_an_empty_left_log_is_removed(root: Path) -> None:
    empty = root / "execution_1" / "stdout.log"
    empty.touch()
    assert ArtifactFiles(root).left_log(1, "stdout") is None
    assert not empty.exists()


def test_a_left_log_keeps_the_name_that_it_got_before_the_crash(root: Path) -> None:
    files, writer = written(root)
    assert files.place(as_log(writer), "a/v1.log") is not None
    left = files.left_log(1, "stdout")
    assert left == (writer.path, 3, writer.inode)
    assert files.place(as_left(left), "a/v1.log") is not None
    assert (root / "a" / "v1.log").read_bytes() == b"log"


def test_a_left_log_that_has_become_another_version_as_well_is_not_kept(root: Path) -> None:
    files, writer = written(root)
    assert files.place(as_log(writer), "a/v1.log") is not None
    left = files.left_log(1, "stdout")
    assert left is not None
    assert files.place(as_left(left), "a/v2.log") is None
    assert (root / "a" / "v1.log").read_bytes() == b"log"
    assert not (root / "a" / "v2.log").exists()


def test_a_left_log_behind_a_link_of_its_directory_is_not_taken(root: Path, outside: Path) -> None:
    (outside / "stdout.log").write_text(SECRET)
    (root / "execution_1").rmdir()
    (root / "execution_1").symlink_to(outside)
    assert ArtifactFiles(root).left_log(1, "stdout") is None


def test_a_log_that_is_not_there_can_be_discarded(tmp_path: Path) -> None:
    files = ArtifactFiles(tmp_path)
    (tmp_path / "execution_1").mkdir()
    files.discard(f"{tmp_path}/execution_1/stdout.log")
    files.discard(f"{tmp_path}/execution_2/stdout.log")
    assert (tmp_path / "execution_1").is_dir()
