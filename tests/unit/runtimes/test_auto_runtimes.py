"""The rows that are made for detected interpreters."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.runtimes.auto_runtimes import Template, find_for, is_known, new_runtime, with_detected_path
from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.minimal import detection_config, minimal_distributions, minimal_execution_config
from agent.runtimes.store import StoredRuntimes
from tests.unit.runtimes.rows import runtime

RUBY = DetectedInterpreter("ruby", "/usr/bin/ruby", "3.1.2")


@pytest.mark.parametrize("name", ["node", "nodejs", "Node.js"])
def test_a_runtime_is_known_by_any_of_its_names(name: str) -> None:
    assert is_known(name, StoredRuntimes(runtimes=(runtime("x.y", "JavaScript", aliases=("nodejs",)),)))
    assert is_known(name, StoredRuntimes(runtimes=(runtime("x.y", "Node.js"),)))
    assert not is_known(name, StoredRuntimes(runtimes=(runtime("x.node", "JavaScript"),)))


def test_the_minimal_configuration_runs_a_file_with_the_detected_interpreter() -> None:
    assert minimal_execution_config("ruby", "/usr/bin/ruby") == {
        "interpreter": {"binary": "/usr/bin/ruby", "args": [], "file_extension": ".rb"}
    }
    assert minimal_execution_config("cobol", "/usr/bin/cobc") == {
        "interpreter": {"binary": "/usr/bin/cobc", "args": []}
    }
    assert minimal_execution_config("go", "/usr/bin/go")["interpreter"]["args"] == ["run"]
    assert "inline_execution" in minimal_execution_config("shell", "/bin/sh")


@pytest.mark.parametrize(("name", "arguments"), [("ruby", "--version"), ("go", "version"), ("java", "-version")])
def test_the_minimal_check_asks_for_the_version_in_the_languages_way(name: str, arguments: str) -> None:
    assert minimal_distributions(name, f"/usr/bin/{name}") == {
        "verification": {
            "commands": [{"binary": f"/usr/bin/{name}", "args": [arguments], "exit_code": 0, "priority": 1}]
        }
    }


def test_what_was_detected_is_noted() -> None:
    assert detection_config(RUBY) == {
        "detected_path": "/usr/bin/ruby",
        "detected_name": "ruby",
        "detected_version": "3.1.2",
    }
    assert detection_config(DetectedInterpreter("shell", "/bin/sh"), "core.shell") == {
        "detected_path": "/bin/sh",
        "detected_name": "shell",
        "template": "core.shell",
    }


def test_only_the_interpreter_of_a_template_is_changed() -> None:
    template = {
        "interpreter": {"binary": "ruby", "args": ["-w"], "file_extension": ".rb"},
        "environment": {"env_type": "gem_home", "interpreter_path": "/usr/local/bin/ruby", "create_command": ["ruby"]},
        "env_vars": {"A": "b"},
    }
    changed = with_detected_path(template, "/opt/ruby")
    assert changed == {
        "interpreter": {"binary": "/opt/ruby", "args": ["-w"], "file_extension": ".rb"},
        "environment": {"env_type": "gem_home", "interpreter_path": "/opt/ruby", "create_command": ["ruby"]},
        "env_vars": {"A": "b"},
    }
    assert template["interpreter"]["binary"] == "ruby"  # type: ignore[index]


def test_template_variables_are_kept() -> None:
    template = {"interpreter": {}, "environment": {"env_type": "x", "interpreter_path": "{env_dir}/bin/python3"}}
    changed = with_detected_path(template, "/opt/python")
    assert changed["environment"]["interpreter_path"] == "{env_dir}/bin/python3"
    assert with_detected_path({"environment": None}, "/x") == {"environment": None}


def test_a_row_without_template_is_minimal() -> None:
    row = new_runtime(RUBY, None)
    assert (row.ref, row.name, row.aliases) == ("auto.ruby", "Ruby", ("ruby", "rb"))
    assert row.description == "Auto-detected ruby runtime at /usr/bin/ruby"
    assert row.installation is None


def test_a_row_with_a_template_is_its_clone() -> None:
    template = Template("core.ruby", "Ruby", ("ruby",), {"a": 1}, {"b": 2}, {"interpreter": {"binary": "ruby"}})
    row = new_runtime(RUBY, template)
    assert (row.ref, row.name, row.aliases) == ("auto.ruby", "Ruby", ("ruby", "rb"))
    assert row.description == "Auto-detected ruby runtime (from template core.ruby)"
    assert (row.distributions, row.installation) == ({"a": 1}, {"b": 2})
    assert row.execution_config == {"interpreter": {"binary": "/usr/bin/ruby"}}
    assert row.detection_config["template"] == "core.ruby"


def test_a_template_that_calls_itself_something_else_is_cloned_under_the_languages_name(tmp_path: Path) -> None:
    raw = {"name": "MRI", "aliases": None, "distributions": {}, "installation": None, "execution_config": {}}
    found = find_for("ruby", StoredRuntimes(raw={"core.ruby": raw, "other.ruby": raw}), tmp_path)
    assert found is not None and found.ref == "core.ruby"
    assert new_runtime(RUBY, found).name == "Ruby"


def test_without_a_stored_template_the_shipped_one_is_taken(tmp_path: Path) -> None:
    found = find_for("node", StoredRuntimes(), tmp_path)
    assert found is not None and found.ref == "core.nodejs" and "node" in found.aliases
    assert find_for("cobol", StoredRuntimes(), tmp_path) is None
