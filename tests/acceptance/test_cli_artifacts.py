"""What executions leave, saved by the operator's command: whole or not at all, and the same both ways."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.both_ways import BOTH_WAYS, Place, documents, running_place
from tests.services.small_disk import SmallDisk

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module", params=BOTH_WAYS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with running_place(request, request.param) as made:
        yield made


def artifact(place: Place, ref: str, *contents: bytes, **columns: Any) -> int:
    """Make an artifact of the core pack with a file for each version; return its id."""
    row = {"ref": ref, "type": "file_binary", "scope": "pack", "owner": "core", "retention_limit": 9} | columns
    made = place.deployment.insert("artifact", row)
    for number, content in enumerate(contents, 1):
        path = f"{made}/v{number}.bin"
        at = place.deployment.artifacts / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content)
        values = {"artifact": made, "version": number, "file_path": path, "size_bytes": len(content)}
        place.deployment.insert("artifact_version", values)
    return made


def part(content: bytes) -> str:
    return f".attune-{hashlib.sha256(content).hexdigest()}.part"


def test_both_ways_print_the_same_document(place: Place) -> None:
    if place.way == "database":
        pytest.skip("the other way compares the two")
    made = artifact(place, "core.same", b"one", b"twotwo", description="A file", data={"a": [1, None, "é"]})
    execution = str(place.ask("run", "core.echo", "-p", "message=left behind")["id"])
    asked = [
        ("artifact", "list", "--owner", "core"), ("artifact", "list", "--execution", execution),
        ("artifact", "list", "-n", "1"), ("artifact", "show", "core.same"), ("artifact", "show", str(made)),
        ("execution", "artifacts", execution),
    ]  # fmt: skip
    assert documents(place.settings, asked) == documents(place.environment, asked)
    shown = place.ask("artifact", "show", "core.same")
    assert [(one["version"], one["size_bytes"]) for one in shown["versions"]] == [(2, 6), (1, 3)]
    listing = place.ok("artifact", "list", "--owner", "core")
    assert "core.same" in listing
    assert "A file" in place.ok("artifact", "show", str(made))
    assert "core.echo.stdout.log" in place.ok("execution", "artifacts", execution)


def test_a_version_is_saved_once_and_never_over_something_else(place: Place, tmp_path: Path) -> None:
    artifact(place, "core.saved", b"one", b"two")
    target = tmp_path / "file"
    words = ("artifact", "download", "core.saved", "-o", str(target))
    assert place.ok(*words) == f"saved {target} (3 B)\n"
    assert target.read_bytes() == b"two"
    assert target.stat().st_mode & 0o777 == 0o644
    assert place.ok(*words).startswith("there already:")
    refused = place.refused(*words, "--version", "1")
    assert "is there already, with other content" in refused
    assert target.read_bytes() == b"two"
    document = place.ask(*words, "--version", "1", "--force")
    assert document["fresh"]
    assert (document["size_bytes"], document["sha256"]) == (3, hashlib.sha256(b"one").hexdigest())
    assert target.read_bytes() == b"one"
    assert place.ok("artifact", "download", "core.saved", "-o", "-") == "two"
    place.ok("artifact", "download", "core.saved", "-o", f"{tmp_path}/into/")
    assert (tmp_path / "into" / "core.saved.v2.bin").read_bytes() == b"two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "into"], "nothing is left beside them"
    assert "no version 7" in place.refused("artifact", "download", "core.saved", "--version", "7")
    assert "no artifact core.none" in place.refused("artifact", "download", "core.none")
    assert "can't write to" in place.refused("artifact", "download", "core.saved", "-o", f"{tmp_path}/none/x")


def test_a_download_goes_on_where_it_broke_off_and_is_believed_by_its_digest(place: Place, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    artifact(place, "core.resumed", content)
    words = ("artifact", "download", "core.resumed", "-o", str(tmp_path / "file"))
    (tmp_path / part(content)).write_bytes(content[:200_000])
    place.ok(*words)
    assert (tmp_path / "file").read_bytes() == content
    (tmp_path / "file").unlink()
    (tmp_path / part(content)).write_bytes(b"x" * 200_000)
    assert "thrown away" in place.refused(*words)
    assert list(tmp_path.iterdir()) == []
    place.ok(*words)
    assert (tmp_path / "file").read_bytes() == content
    (tmp_path / "file").unlink()
    (tmp_path / part(content)).write_bytes(content + b"more")
    place.ok(*words)
    assert (tmp_path / "file").read_bytes() == content


def test_a_file_that_is_not_whole_is_not_saved(place: Place, tmp_path: Path) -> None:
    made = artifact(place, "core.half", b"half of it")
    (place.deployment.artifacts / f"{made}/v1.bin").write_bytes(b"half")
    words = ("artifact", "download", "core.half", "-o", str(tmp_path / "file"))
    assert "its file has 4 of 10 bytes: it is not whole" in place.refused(*words)
    (place.deployment.artifacts / f"{made}/v1.bin").unlink()
    assert "its file is not here" in place.refused(*words)
    assert list(tmp_path.iterdir()) == []


def test_everything_that_an_execution_left_is_saved_below_one_directory(place: Place, tmp_path: Path) -> None:
    place.deployment.add_action("left.both", "echo out; echo err >&2\n")
    execution = str(place.ask("run", "left.both")["id"])
    saved = place.ok("execution", "download", execution, "-o", str(tmp_path / "all"))
    assert saved.count("saved ") == 2
    assert {path.name: path.read_text() for path in (tmp_path / "all").iterdir()} == {
        "left.both.stdout.log.v1.txt": "out\n",
        "left.both.stderr.log.v1.txt": "err\n",
    }
    again = place.ask("execution", "download", execution, "-o", str(tmp_path / "all"))
    assert sorted((one["ref"], one["fresh"]) for one in again) == [
        ("left.both.stderr.log", False), ("left.both.stdout.log", False)
    ]  # fmt: skip
    only = ("--only", "left.both.stderr.log")
    place.ok("execution", "download", execution, "-o", str(tmp_path / "one"), *only)
    assert len(list((tmp_path / "one").iterdir())) == 1
    assert "left no artifact left.none" in place.refused("execution", "download", execution, "--only", "left.none")
    assert "no execution 99999" in place.refused("execution", "download", "99999")
    assert "no execution 99999" in place.refused("execution", "artifacts", "99999")


@pytest.mark.parametrize("ref", ["../../evil", "..", "/etc/evil", ".bashrc", "a\nb", "x" * 200])
def test_no_name_leads_out_of_the_directory(place: Place, tmp_path: Path, ref: str) -> None:
    made = artifact(place, ref, b"hostile")
    (tmp_path / "inner").mkdir()
    document = place.ask("artifact", "download", str(made), "-o", f"{tmp_path}/inner/")
    assert Path(document["path"]).parent == tmp_path / "inner"
    (saved,) = (tmp_path / "inner").iterdir()
    assert not saved.name.startswith(".")
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]


def test_a_link_that_has_the_name_is_neither_followed_nor_replaced(place: Place, tmp_path: Path) -> None:
    artifact(place, "core.linked", b"new")
    (tmp_path / "outside").write_text("old")
    (tmp_path / "link").symlink_to("outside")
    words = ("artifact", "download", "core.linked", "-o", str(tmp_path / "link"))
    assert "is there already" in place.refused(*words)
    assert (tmp_path / "outside").read_text() == "old"
    place.ok(*words, "--force")
    assert (tmp_path / "outside").read_text() == "old"
    assert not (tmp_path / "link").is_symlink()


def test_a_disk_that_is_full_keeps_what_came_until_there_is_room(
    place: Place, small_disk: SmallDisk, tmp_path: Path
) -> None:
    content = os.urandom(4 << 20)
    artifact(place, "core.large", content)
    words = ("artifact", "download", "core.large", "-o", str(small_disk.path / "file"))
    refused = place.refused(*words)
    assert "No space left on device" in refused
    assert "make room" in refused
    assert [path.name for path in small_disk.path.iterdir()] == [part(content)]
    assert 0 < (small_disk.path / part(content)).stat().st_size < len(content)
    small_disk.grow(8 << 20)
    place.ok(*words)
    assert (small_disk.path / "file").read_bytes() == content
