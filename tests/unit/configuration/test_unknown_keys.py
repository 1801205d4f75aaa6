"""The file is shared with other services: only what was probably meant for us is worth a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.configuration import load_settings
from agent.configuration.known import UNUSED_KEYS
from agent.configuration.settings_table import fields


def warnings_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return [warning.removeprefix(f"{tmp_path}/") for warning in load_settings({}, config=path).warnings]


def test_a_misspelt_key_is_a_warning_that_names_the_nearest_one(tmp_path: Path) -> None:
    assert warnings_of(tmp_path, "database:\n  ulr: x\n") == [
        "config.yaml:2: database.ulr is not a known setting; did you mean database.url?"
    ]


def test_a_key_that_resembles_none_is_a_warning_without_a_guess(tmp_path: Path) -> None:
    assert warnings_of(tmp_path, "worker: {zzz: 1}") == ["config.yaml:1: worker.zzz is not a known setting"]


def test_sections_of_other_services_are_ignored(tmp_path: Path) -> None:
    assert (
        warnings_of(tmp_path, "executor: {scheduled_timeout: 1}\nnotifier: {a: {b: c}}\nagent: {binary_dir: x}") == []
    )


def test_a_misspelt_section_or_top_level_key_is_a_warning(tmp_path: Path) -> None:
    assert warnings_of(tmp_path, "databse: {url: x}\npack_base_dir: /p\n") == [
        "config.yaml:1: databse.url is not a known setting; did you mean database.url?",
        "config.yaml:2: pack_base_dir is not a known setting; did you mean packs_base_dir?",
    ]


def test_a_misspelt_variable_is_a_warning() -> None:
    (warning,) = load_settings({"ATTUNE__WORKER__MAX_CONCURENT_TASKS": "3"}).warnings
    assert warning.startswith("ATTUNE__WORKER__MAX_CONCURENT_TASKS:")
    assert "did you mean worker.max_concurrent_tasks?" in warning


@pytest.mark.parametrize("key", sorted(UNUSED_KEYS))
def test_keys_of_other_services_in_our_sections_are_no_reason_to_warn(key: str) -> None:
    variable = "ATTUNE__" + key.upper().replace(".", "__")
    assert load_settings({variable: "1"}).warnings == ()


def test_no_key_is_both_ours_and_unused() -> None:
    assert not UNUSED_KEYS & set(fields())


def test_names_without_the_prefix_or_with_empty_parts_are_left_alone() -> None:
    loaded = load_settings({"ATTUNE__": "x", "ATTUNE____URL": "x", "ATTUNE_DATABASE_URL": "x", "OTHER__A": "b"})
    assert loaded.warnings == ()
    assert loaded.sources["database.url"] == "default"
