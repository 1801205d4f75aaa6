"""Finding interpreters by looking at files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.runtimes.candidates import find_candidates
from agent.runtimes.languages import LANGUAGES
from agent.runtimes.probe import find_program, search_directories
from tests.children.interpreters import prints, write_program

#: Families that are not looked for outside PATH.
ON_PATH = [family._replace(homes=()) for family in LANGUAGES if family.name != "shell"]


def found(search_path: str) -> dict[str, str]:
    """The first candidate of each family."""
    candidates = find_candidates({"PATH": search_path}, ON_PATH)
    return {item.family.name: item.path for item in reversed(candidates)}


def test_the_families_are_probed_in_the_documented_order() -> None:
    assert [family.name for family in LANGUAGES] == ["shell", "python", "node", "ruby", "go", "java", "r", "perl"]


def test_the_first_directory_of_path_wins(tmp_path: Path) -> None:
    first = write_program(tmp_path / "a", "ruby", prints("ruby 3.3.0"))
    write_program(tmp_path / "b", "ruby", prints("ruby 2.7.0"))
    assert found(f"{tmp_path}/a:{tmp_path}/b") == {"ruby": str(first)}


def test_the_first_name_of_a_family_wins_even_in_a_later_directory(tmp_path: Path) -> None:
    write_program(tmp_path / "a", "python", prints("Python 2.7.18"))
    preferred = write_program(tmp_path / "b", "python3", prints("Python 3.12.1"))
    assert found(f"{tmp_path}/a:{tmp_path}/b") == {"python": str(preferred)}


def test_the_second_name_of_a_family_is_taken_when_the_first_is_missing(tmp_path: Path) -> None:
    only = write_program(tmp_path, "nodejs", prints("v18.0.0"))
    assert found(str(tmp_path)) == {"node": str(only)}


def test_what_cannot_be_executed_is_no_interpreter(tmp_path: Path) -> None:
    (tmp_path / "a" / "perl").mkdir(parents=True)
    write_program(tmp_path / "b", "perl", "exit 0").chmod(0o644)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "perl").symlink_to(tmp_path / "gone")
    usable = write_program(tmp_path / "d", "perl", "exit 0")
    assert found(":".join(str(tmp_path / name) for name in "abcd")) == {"perl": str(usable)}


def test_a_link_is_reported_as_found(tmp_path: Path) -> None:
    target = write_program(tmp_path / "real", "ruby3.1", "exit 0")
    (tmp_path / "bin").mkdir()
    link = tmp_path / "bin" / "ruby"
    link.symlink_to(target)
    assert found(str(tmp_path / "bin")) == {"ruby": str(link)}


def test_relative_and_empty_entries_are_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(tmp_path, "ruby", "exit 0")
    monkeypatch.chdir(tmp_path)
    assert found(":.::./") == {}


def test_an_entry_that_is_missing_or_a_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ruby = write_program(tmp_path / "bin", "ruby", "exit 0")
    assert found(f"{tmp_path}/absent:{tmp_path}/file:{tmp_path}/bin") == {"ruby": str(ruby)}


def test_shells_are_looked_for_in_bin_before_path(tmp_path: Path) -> None:
    write_program(tmp_path, "bash", "exit 0")
    expected = next(f"/bin/{name}" for name in ("bash", "sh") if os.access(f"/bin/{name}", os.X_OK))
    if expected == "/bin/sh":
        expected = str(tmp_path / "bash")
    assert find_candidates({"PATH": str(tmp_path)}, LANGUAGES[:1])[0].path == expected


def test_without_path_the_usual_directories_are_searched() -> None:
    assert list(search_directories(None))[:2] == ["/usr/local/sbin", "/usr/local/bin"]
    assert find_program("sh", None) is not None
    assert find_program("sh", "") is None


def test_a_program_with_a_slash_is_not_searched_for(tmp_path: Path) -> None:
    tool = write_program(tmp_path, "tool", "exit 0")
    assert find_program(str(tool), "") == str(tool)
    assert find_program(str(tmp_path / "other"), str(tmp_path)) is None
    assert find_program("tool", str(tmp_path)) == str(tool)
