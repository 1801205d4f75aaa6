"""What is opened below a directory is there, whatever lies on the way."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.reading import beneath
from agent.reading.beneath import Directory, is_inside


@pytest.fixture(params=["openat2", "part by part"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Directory]:
    if request.param != "openat2":
        monkeypatch.setattr(beneath, "_has_openat2", lambda: False)
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "root" / "a" / "b" / "file").write_text("mine")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("theirs")
    with Directory(tmp_path / "root") as directory:
        yield directory


def read(directory: Directory, path: str) -> bytes:
    fd = directory.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def test_a_file_is_found(root: Directory) -> None:
    assert read(root, "a/b/file") == b"mine"
    assert read(root, "./a//b/file") == b"mine"


@pytest.mark.parametrize("path", ["../outside/file", "a/../../outside/file", "/etc/passwd", "", "a/b/..", "a\0b"])
def test_a_path_that_leads_out_is_refused(root: Directory, path: str) -> None:
    with pytest.raises(OSError, match="leads out"):
        root.open(path, os.O_RDONLY)
    assert not is_inside(path)


@pytest.mark.parametrize("target", ["../outside", "/etc", "a"])
def test_no_link_is_followed_at_any_level(root: Directory, tmp_path: Path, target: str) -> None:
    (tmp_path / "root" / "link").symlink_to(target)
    (tmp_path / "root" / "a" / "deep").symlink_to(tmp_path / "outside")
    for path in ("link", "link/file", "link/b/file", "a/deep/file"):
        with pytest.raises(OSError):
            root.open(path, os.O_RDONLY)
        with pytest.raises(OSError):
            root.open(path, os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError):
        root.make("a/deep/made", 0o700)
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["file"]
    assert (tmp_path / "outside" / "file").read_text() == "theirs"


def test_a_fifo_does_not_wait_for_its_other_end(root: Directory, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "root" / "fifo")
    os.close(root.open("fifo", os.O_RDONLY))
    os.close(root.open("fifo", os.O_PATH))
    with pytest.raises(OSError):
        root.open("fifo", os.O_WRONLY)


def test_directories_are_made_with_their_mode_and_existing_ones_keep_theirs(root: Directory, tmp_path: Path) -> None:
    (tmp_path / "root" / "a").chmod(0o700)
    root.make("a/c/d", 0o2775)
    modes = [(tmp_path / "root" / name).stat().st_mode & 0o7777 for name in ("a", "a/c", "a/c/d")]
    assert modes == [0o700, 0o2775, 0o2775]
