"""Files that are saved: whole, in their directory, and over nothing that came meanwhile."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.artifact import with_names
from agent.cli.saved_file import save
from agent.cli.tables import size
from agent.control.artifact_files import file_name
from agent.errors import AgentError, Conflict


class Bytes:
    """Content that lies in memory; ``meanwhile`` is written to where somebody else saves it."""

    def __init__(self, content: bytes, meanwhile: Path | None = None) -> None:
        self.content = content
        self.size = len(content)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.meanwhile = meanwhile
        self.asked: list[int] = []

    def read_from(self, offset: int) -> Iterator[bytes]:
        self.asked.append(offset)
        if self.meanwhile is not None:
            self.meanwhile.write_text("theirs")
        yield self.content[offset:]

    def close(self) -> None:
        pass


def test_what_comes_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(Conflict, match="is there already"):
        save(Bytes(b"ours", meanwhile=path), path, replace=False)
    assert path.read_text() == "theirs"
    save(Bytes(b"ours"), path, replace=True)
    assert path.read_text() == "ours"


def test_only_the_rest_is_asked_for(tmp_path: Path) -> None:
    content = Bytes(b"0123456789")
    (tmp_path / f".attune-{content.sha256}.part").write_bytes(b"01234")
    save(content, tmp_path / "file", replace=False)
    assert content.asked == [5]
    assert (tmp_path / "file").read_bytes() == b"0123456789"
    again = save(content, tmp_path / "file", replace=False)
    assert (again.fresh, content.asked) == (False, [5])


def test_of_two_that_save_the_same_one_is_told(tmp_path: Path) -> None:
    content = Bytes(b"0123456789")
    with (tmp_path / f".attune-{content.sha256}.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="another command is saving"):
            save(content, tmp_path / "file", replace=False)


@pytest.mark.parametrize("planted", ["fifo", "link", "directory"])
def test_what_is_planted_under_the_name_of_the_part_is_not_written_to(tmp_path: Path, planted: str) -> None:
    content = Bytes(b"0123456789")
    part, outside = tmp_path / f".attune-{content.sha256}.part", tmp_path / "outside"
    outside.write_text("untouched")
    if planted == "fifo":
        os.mkfifo(part)
    elif planted == "link":
        part.symlink_to(outside)
    else:
        part.mkdir()
    with pytest.raises(AgentError, match="can't write"):
        save(content, tmp_path / "file", replace=False)
    assert outside.read_text() == "untouched"
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("ref", "path", "name"),
    [
        ("core.echo.stdout.log", "core/echo/v3.txt", "core.echo.stdout.log.v3.txt"),
        ("../../etc/passwd", None, "_.._etc_passwd.v3"),
        (".bashrc", "x/v3", "bashrc.v3"),
        ("a b\n\x1b[2J", "v3.\x1b[1m", "a_b_2J.v3._1m"),
        ("é.ü", "v3.pdf", "é.ü.v3.pdf"),
    ],
)
def test_a_name_is_one_plain_name(ref: str, path: str | None, name: str) -> None:
    assert file_name(ref, 3, path) == name


def test_two_versions_never_get_one_name() -> None:
    rows = [{"id": number, "ref": ref, "version": 1, "file_path": None} for number, ref in enumerate(("a b", "a:b"))]
    assert [name for _, name in with_names(rows)] == ["a_b.v1", "1.a_b.v1"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, None), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_999, "1.0 MB"),
     (5 * 10**9, "5.0 GB"), (7 * 10**12, "7.0 TB")],
)  # fmt: skip
def test_sizes_are_short(count: int | None, text: str | None) -> None:
    assert size(count) == text
