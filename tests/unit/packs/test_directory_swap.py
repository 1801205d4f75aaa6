"""One directory takes the place of another."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.packs import directory_swap as module
from agent.packs.directory_swap import swap_directories


def pair(tmp_path: Path) -> tuple[Path, Path]:
    new, place = tmp_path / "new", tmp_path / "place"
    for directory in (new, place):
        directory.mkdir()
        (directory / "name").write_text(directory.name)
    return new, place


def test_the_new_directory_takes_the_place_and_the_old_one_is_where_it_was(tmp_path: Path) -> None:
    new, place = pair(tmp_path)

    swap_directories(new, place)

    assert ((place / "name").read_text(), (new / "name").read_text()) == ("new", "place")


def test_an_empty_place_is_taken(tmp_path: Path) -> None:
    new, place = pair(tmp_path)

    swap_directories(new, tmp_path / "elsewhere")

    assert (tmp_path / "elsewhere" / "name").read_text() == "new"
    assert (place / "name").read_text() == "place"


def test_without_the_system_call_two_renames_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_swapped", lambda first, second: False)
    new, place = pair(tmp_path)

    swap_directories(new, place)

    assert (place / "name").read_text() == "new"
    assert (tmp_path / "new.old" / "name").read_text() == "place"


def test_nobody_ever_finds_the_place_empty(tmp_path: Path) -> None:
    new, place = pair(tmp_path)
    done = threading.Event()

    def swap() -> None:
        for _ in range(2000):
            swap_directories(new, place)
        done.set()

    thread = threading.Thread(target=swap)
    thread.start()
    missing = 0
    while not done.is_set():
        missing += not place.is_dir()
    thread.join(10)

    assert missing == 0
