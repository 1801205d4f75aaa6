"""Builds, the link that points to one of them, and what may be removed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from agent.environments.declared import Declared
from agent.environments.fingerprint import fingerprint_of
from agent.environments.layout import Layout, make_shared_directory
from agent.environments.marker import INSTALLED, LAST_USED, MARKER, RunExtras, read_marker, write_marker
from agent.environments.sweep import KEEP_SUPERSEDED, remove_pack, remove_tree, sweep
from agent.errors import EnvironmentFailed
from tests.unit.environments.requests import python_request

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "envs", "demo", "python")
    made.prepare()
    return made


def complete_build(layout: Layout, pack: Path) -> Path:
    build = layout.new_build(DIGEST)
    build.mkdir()
    (pack / "requirements.txt").write_text("a\n") if pack.is_dir() else None
    write_marker(build, fingerprint_of(python_request(pack), Declared()), installed=True, extras=RunExtras())
    return build


def test_the_link_has_the_documented_name_and_moves_atomically(layout: Layout) -> None:
    for _ in range(2):
        build = layout.new_build(DIGEST)
        build.mkdir()
        layout.point_to(build)
        assert layout.link == layout.root / "demo" / "python"
        assert layout.link.resolve() == build.resolve()
        assert layout.current() == build
    assert not [name for name in os.listdir(layout.pack) if ".link-" in name]


def test_a_directory_of_another_worker_is_moved_aside_and_kept(layout: Layout) -> None:
    layout.link.mkdir()
    (layout.link / "file").write_text("x")
    os.utime(layout.link, (0, 0))
    build = layout.new_build(DIGEST)
    build.mkdir()
    layout.point_to(build)
    assert layout.link.is_symlink()
    [aside] = [path for path in layout.builds() if ".replaced-" in path.name]
    assert (aside / "file").exists()
    assert sweep(layout, build) == []


def test_builds_of_one_name_are_not_those_of_another(layout: Layout) -> None:
    other = Layout(layout.root, "demo", "python-3.12")
    for each in (layout, other, Layout(layout.root, "demo", "python-3")):
        each.new_build(DIGEST).mkdir()
    assert len(list(layout.builds())) == len(list(other.builds())) == 1


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a\nb"])
def test_names_that_leave_the_directory_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EnvironmentFailed):
        Layout(tmp_path, "demo", name)
    with pytest.raises(EnvironmentFailed):
        Layout(tmp_path, name, "python")


def test_new_directories_belong_to_the_group(tmp_path: Path) -> None:
    make_shared_directory(tmp_path / "a" / "b")
    for made in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o2775


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="ot a directory"):
        make_shared_directory(tmp_path / "file" / "b")


def test_attempts_without_a_marker_are_removed_at_once(layout: Layout, tmp_path: Path) -> None:
    half = layout.new_build(DIGEST)
    half.mkdir()
    done = complete_build(layout, tmp_path)
    assert sweep(layout, None) == [half]
    assert done.is_dir()


def test_a_superseded_build_is_kept_until_it_was_unused_for_long(layout: Layout, tmp_path: Path) -> None:
    old, new = complete_build(layout, tmp_path), complete_build(layout, tmp_path)
    layout.point_to(new)
    used = (old / LAST_USED).stat().st_mtime
    assert sweep(layout, new, now=lambda: used + KEEP_SUPERSEDED - 1) == []
    assert sweep(layout, new, now=lambda: used + KEEP_SUPERSEDED + 1) == [old]
    assert new.is_dir()


def test_read_only_directories_are_removed_too(tmp_path: Path) -> None:
    deep = tmp_path / "mod" / "cache"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    deep.chmod(0o500)
    remove_tree(tmp_path / "mod")
    assert not (tmp_path / "mod").exists()


def test_removing_a_pack_that_has_no_environments_is_nothing(tmp_path: Path) -> None:
    remove_pack(tmp_path, tmp_path / "demo")


def test_a_marker_is_refused_when_another_worker_installed_something_else(layout: Layout, tmp_path: Path) -> None:
    build = complete_build(layout, tmp_path)
    known = read_marker(build)
    assert known is not None
    assert known.installed == (build / INSTALLED).read_text()
    (build / INSTALLED).write_text("f" * 64)
    assert read_marker(build) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"fingerprint": "x"}'])
def test_a_damaged_marker_means_no_environment(layout: Layout, tmp_path: Path, content: str) -> None:
    build = complete_build(layout, tmp_path)
    (build / MARKER).write_text(content)
    assert read_marker(build) is None
