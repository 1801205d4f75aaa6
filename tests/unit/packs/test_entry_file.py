"""What is a path and what is a script, and which files may be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.packs.entry_file import is_path, wrong_file


@pytest.mark.parametrize("text", ["run.sh", "sub/run", "RUN.PY", "../x", "/bin/sh", "present", "a.R"])
def test_a_slash_a_known_suffix_or_a_file_of_that_name_make_a_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "present").touch()

    assert is_path(text, tmp_path)


@pytest.mark.parametrize(
    "text", ["", "echo hello", "run.sh now", "date", "a\0.sh", "line\nrun.sh", "x" * 5000, "true;"]
)
def test_anything_else_is_a_script(tmp_path: Path, text: str) -> None:
    assert not is_path(text, tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("run.sh", None),
        ("sub/../run.sh", None),
        ("../lib/run.sh", None),
        ("inside.sh", None),
        ("missing.sh", "there is no file actions/missing.sh"),
        ("sub", "there is no file actions/sub"),
        ("../../secret", "../../secret lies outside the pack"),
        ("outside.sh", "outside.sh lies outside the pack"),
        ("/etc/passwd", "/etc/passwd lies outside the pack"),
    ],
)
def test_the_real_file_must_lie_in_the_pack(tmp_path: Path, text: str, complaint: str | None) -> None:
    pack = tmp_path / "pack"
    actions = pack / "actions"
    (actions / "sub").mkdir(parents=True)
    (pack / "lib").mkdir()
    for file in (actions / "run.sh", pack / "lib" / "run.sh", tmp_path / "secret"):
        file.touch()
    (actions / "outside.sh").symlink_to(tmp_path / "secret")
    (actions / "inside.sh").symlink_to("../lib/run.sh")

    assert wrong_file(text, actions, pack) == complaint


def test_a_path_that_no_system_can_open_is_wrong_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    assert wrong_file("loop", tmp_path, tmp_path) is not None
    assert wrong_file("x" * 5000, tmp_path, tmp_path) is not None
