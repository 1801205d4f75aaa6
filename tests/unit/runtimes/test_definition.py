"""Runtime definitions of packs."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.errors import PackError
from agent.paths import shipped
from agent.runtimes.definition import runtime_from_yaml
from agent.runtimes.definition_files import find_template

SHIPPED = sorted((shipped("packs") / "core" / "runtimes").glob("*.yaml"))


def test_reads_a_definition_with_versions() -> None:
    definition = runtime_from_yaml(
        {
            "ref": "core.python",
            "name": "Python",
            "aliases": ["Python", "PYTHON3"],
            "execution_config": {"interpreter": {"binary": "python3"}},
            "versions": [
                {"version": "3.12", "is_default": True, "execution_config": {"interpreter": {"binary": "python3.12"}}},
                {"version": "3.13", "meta": {"eol": datetime.date(2029, 10, 31)}},
            ],
        }
    )
    assert (definition.ref, definition.name, definition.aliases) == ("core.python", "Python", ("python", "python3"))
    assert definition.installation is None and definition.distributions == {}
    assert definition.versions is not None
    first, second = definition.versions
    assert (first.version, first.major, first.minor, first.patch, first.is_default) == ("3.12", 3, 12, 0, True)
    assert first.execution_config == {"interpreter": {"binary": "python3.12"}}
    assert second.meta == {"eol": "2029-10-31"}


def test_the_name_falls_back_to_the_last_part_of_the_ref() -> None:
    assert runtime_from_yaml({"ref": "pack.cobol"}).name == "cobol"
    assert runtime_from_yaml({"ref": "pack.cobol"}).versions is None


def test_a_version_that_yaml_made_a_number_is_skipped_with_a_warning() -> None:
    definition = runtime_from_yaml(
        {"ref": "a.b", "versions": [{"version": 3.1}, {"version": "3.10"}, {"version": "3.10"}]}
    )
    assert definition.versions is not None and [item.version for item in definition.versions] == ["3.10"]
    assert "versions[0].version" in definition.warnings[0] and "3.1" in definition.warnings[0]
    assert "twice" in definition.warnings[1]


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({}, "ref"),
        ({"ref": "  "}, "ref"),
        ({"ref": 3}, "ref"),
        ({"ref": "a.b", "aliases": "b"}, "aliases"),
        ({"ref": "a.b", "versions": {}}, "versions"),
        ({"ref": "a.b", "versions": ["3.12"]}, r"versions\[0\]"),
        ({"ref": "a.b", "execution_config": {"environment": {}}}, "execution_config: environment.env_type"),
        (
            {"ref": "a.b", "versions": [{"version": "1", "execution_config": []}]},
            r"versions\[0\].execution_config",
        ),
        ({"ref": "a.b", "distributions": {"x": {1, 2}}}, "distributions.x"),
        ({"ref": "a.b", "distributions": {"x": [float("nan")]}}, r"distributions.x\[0\]"),
        ([], "the runtime file"),
        (None, "ref"),
    ],
)
def test_a_complaint_names_the_key(document: Any, key: str) -> None:
    with pytest.raises(PackError, match=f"^{key}"):
        runtime_from_yaml(document)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_definitions_that_ship_are_complete_and_fit_into_json(path: Path) -> None:
    definition = runtime_from_yaml(yaml.safe_load(path.read_text()))
    assert definition.warnings == ()
    assert definition.ref.startswith("core.")
    json.dumps(asdict(definition), allow_nan=False)


def test_a_template_is_found_by_any_name_of_its_language(tmp_path: Path) -> None:
    for name in ("node", "nodejs", "node.js"):
        found = find_template(name, tmp_path)
        assert found is not None and found.ref == "core.nodejs"
    assert find_template("cobol", tmp_path) is None


def test_a_pack_on_disk_is_asked_before_what_ships_and_bad_files_are_passed_over(tmp_path: Path) -> None:
    runtimes = tmp_path / "core" / "runtimes"
    runtimes.mkdir(parents=True)
    (runtimes / "a.yaml").write_text("ref: [")
    (runtimes / "b.yaml").write_text("name: no ref")
    (runtimes / "c.yaml").write_bytes(b"\xff\xfe\x00")
    (runtimes / "d.yaml").mkdir()
    (runtimes / "ruby.yml").write_text("ref: core.ruby\nname: Ruby\ndescription: ours\n")
    found = find_template("rb", tmp_path)
    assert found is not None and found.description == "ours"


def test_only_core_definitions_are_templates(tmp_path: Path) -> None:
    (tmp_path / "mine" / "runtimes").mkdir(parents=True)
    (tmp_path / "mine" / "runtimes" / "ruby.yaml").write_text("ref: mine.ruby\nname: Ruby\n")
    found = find_template("ruby", tmp_path)
    assert found is not None and found.ref == "core.ruby"
