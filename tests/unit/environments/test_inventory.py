"""What lies below the environments' directory, and what may go."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from agent.environments import compiled_output
from agent.environments import inventory as inventory_module
from agent.environments.inventory import BuiltEnvironment, inventory, prune
from agent.environments.layout import Layout
from agent.environments.marker import LAST_USED, MARKER, read_marker, supersede

DAY = 86400.0


def build(root: Path, pack: str, digest: str, *, age: float, size: int = 1000, complete: bool = True) -> Path:
    """A build of ``pack``/python, last used ``age`` seconds ago; the latest one is the current."""
    layout = Layout(root, pack, "python")
    path = layout.new_build(digest * 12)
    path.mkdir(parents=True)
    (path / "file").write_bytes(b"x" * size)
    if complete:
        (path / MARKER).write_text(
            json.dumps({"fingerprint": digest, "inputs": {"version": "3.12.1"}, "installed": None})
        )
        (path / LAST_USED).touch()
        os.utime(path / LAST_USED, (time.time() - age,) * 2)
        layout.point_to(path)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_lists_every_build_with_its_size_and_last_use(tmp_path: Path) -> None:
    old, new = build(tmp_path, "one", "a", age=DAY, size=50_000), build(tmp_path, "one", "b", age=60)
    half = build(tmp_path, "two", "c", age=5, complete=False)
    (tmp_path / ".cache/pip").mkdir(parents=True)
    (tmp_path / "one" / "notes").mkdir()
    found = {item.path: item for item in inventory(tmp_path)}
    assert set(found) == {old, new, half}
    assert (found[old].current, found[new].current, found[half].complete) == (False, True, False)
    assert found[old].size >= 50_000 and found[new].built_from == "3.12.1"
    assert found[old].last_used == pytest.approx(time.time() - DAY, abs=60)
    assert inventory(tmp_path / "nothing") == []


def test_removes_replaced_builds_and_died_attempts_but_nothing_in_use(tmp_path: Path) -> None:
    dead = build(tmp_path, "one", "a", age=8 * DAY)
    recent = build(tmp_path, "one", "b", age=60)
    current = build(tmp_path, "one", "c", age=90 * DAY)
    died = build(tmp_path, "two", "d", age=DAY, complete=False)
    under_way = build(tmp_path, "three", "e", age=5, complete=False)
    assert {item.path for item in prune(tmp_path, keep_unused=7 * DAY)} == {dead, died}
    assert recent.exists() and current.exists() and under_way.exists()


def test_a_budget_takes_what_was_used_longest_ago_and_stops_when_the_rest_fits(tmp_path: Path) -> None:
    oldest = build(tmp_path, "one", "a", age=3 * DAY, size=400_000)
    older = build(tmp_path, "two", "b", age=2 * DAY, size=400_000)
    used = build(tmp_path, "three", "c", age=60, size=400_000)
    assert [item.path for item in prune(tmp_path, keep_unused=7 * DAY, max_bytes=900_000)] == [oldest]
    assert not (tmp_path / "one" / "python").is_symlink()
    assert [item.path for item in prune(tmp_path, keep_unused=7 * DAY, max_bytes=1)] == [older]
    assert used.exists(), "what somebody uses stays, whatever the budget"


def test_what_is_used_again_while_sizes_are_counted_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used_again = build(tmp_path, "one", "a", age=3 * DAY)
    unused = build(tmp_path, "two", "b", age=3 * DAY)

    def listed_then_used(root: Path) -> list[BuiltEnvironment]:
        found = inventory(root)
        (used_again / LAST_USED).touch()
        return found

    monkeypatch.setattr(inventory_module, "inventory", listed_then_used)
    assert [item.path for item in prune(tmp_path, keep_unused=7 * DAY, max_bytes=1)] == [unused]
    assert used_again.exists() and (tmp_path / "one" / "python").is_symlink()


def output(root: Path, pack: str, name: str, *, age: float, done: bool = True) -> Path:
    """What was compiled of an action, last used ``age`` seconds ago."""
    path = Layout(root, pack, "go").compiled / name
    path.mkdir(parents=True)
    (path / "action").write_bytes(b"x" * 400_000)
    if done:
        compiled_output.complete(path)
        os.utime(path / ".attune_compiled", (time.time() - age,) * 2)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_what_was_compiled_is_listed_and_goes_when_nobody_uses_it(tmp_path: Path) -> None:
    unused, used = output(tmp_path, "one", "a", age=8 * DAY), output(tmp_path, "one", "b", age=60)
    older, died = output(tmp_path, "two", "c", age=DAY), output(tmp_path, "two", "d.abc123.tmp", age=DAY, done=False)
    found = {item.path: item for item in inventory(tmp_path)}
    large = {path for path, item in found.items() if item.compiled and item.size >= 400_000}
    assert large == {unused, used, older, died}
    assert (found[used].name, found[used].complete, found[died].complete) == ("go", True, False)
    assert {item.path for item in prune(tmp_path, keep_unused=7 * DAY)} == {unused, died}
    assert [item.path for item in prune(tmp_path, keep_unused=7 * DAY, max_bytes=1)] == [older]
    assert used.exists() and not older.exists() and not died.exists()


def test_what_a_killed_removal_of_a_pack_left_is_removed(tmp_path: Path) -> None:
    left = build(tmp_path, "one", "a", age=60).parent.rename(tmp_path / ".removed-one-abc123")
    prune(tmp_path, keep_unused=7 * DAY)
    assert not left.exists()


def test_a_superseded_build_is_taken_by_nobody_and_stays_a_build(tmp_path: Path) -> None:
    path = build(tmp_path, "one", "a", age=60)
    supersede(path)
    marker = read_marker(path)
    assert marker is not None and marker.fingerprint == "superseded"
    assert prune(tmp_path, keep_unused=0) == []
