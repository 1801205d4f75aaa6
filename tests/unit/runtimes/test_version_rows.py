"""Rows for interpreters that no pack file lists."""

from __future__ import annotations

import re

import pytest

from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.store import StoredRuntimes
from agent.runtimes.version_rows import missing_versions, row_version
from tests.unit.runtimes.rows import runtime, version

CONFIG = {
    "interpreter": {"binary": "python3", "args": ["-u"], "file_extension": ".py"},
    "environment": {"env_type": "virtualenv", "create_command": ["python3", "-m", "venv", "{env_dir}"]},
    "env_vars": {"X": "python3"},
}
PYTHON = runtime("core.python", "Python", "python3")
JAVA = runtime("core.java", "Java", "java", id_=2)


def stored(*versions: str) -> StoredRuntimes:
    raw = {"core.python": {"execution_config": CONFIG}, "core.java": {"execution_config": {"interpreter": {}}}}
    return StoredRuntimes((PYTHON, JAVA), tuple(version(text) for text in versions), raw)


def found(version: str, name: str = "python") -> DetectedInterpreter:
    return DetectedInterpreter(name, f"/usr/bin/{name}", version)


def test_a_version_that_no_row_means_gets_a_row_that_names_programs_not_paths() -> None:
    (row,) = missing_versions(stored("3.11", "3.12"), [found("3.10.13"), found("3.11.2"), found("3.12.1")])
    assert (row.runtime, row.runtime_ref, row.version) == (1, "core.python", "3.10")
    assert row.execution_config == {
        "interpreter": {"binary": "python3.10", "args": ["-u"], "file_extension": ".py"},
        "environment": {"env_type": "virtualenv", "create_command": ["python3.10", "-m", "venv", "{env_dir}"]},
        "env_vars": {"X": "python3"},
    }
    checks = row.distributions["verification"]["commands"]
    assert [check["binary"] for check in checks] == ["python3.10", "python3", "python"]
    assert all(re.search(check["pattern"], "Python 3.10.13") for check in checks)
    assert not any(re.search(check["pattern"], text) for check in checks for text in ("Python 3.1.0", "Python 3.100.1"))
    assert row.meta == {"auto_detected": True, "detected_path": "/usr/bin/python", "detected_version": "3.10.13"}


def test_two_interpreters_of_one_version_get_one_row() -> None:
    rows = missing_versions(stored(), [found("3.10.13"), found("3.10.2"), found("17.0.9", "java")])
    assert [(row.runtime_ref, row.version) for row in rows] == [("core.python", "3.10"), ("core.java", "17")]


def test_java_before_9_is_known_by_its_number() -> None:
    (row,) = missing_versions(stored(), [found("1.8.0_392", "java")])
    assert row.version == "8"
    (check,) = row.distributions["verification"]["commands"]
    assert re.search(check["pattern"], 'openjdk version "1.8.0_392"')
    assert not re.search(check["pattern"], 'openjdk version "18.0.1" 2022-08-18')


@pytest.mark.parametrize(
    ("text", "language", "others", "expected"),
    [
        ("3.13.0", "python", ["3.11", "3.12"], "3.13"),
        ("3.13.0", "python", ["3"], "3"),
        ("22.1.0", "node", ["18", "20"], "22"),
        ("22.1.0", "node", [], "22"),
        ("3.1.2", "ruby", ["lts"], "3.1"),
        ("3.15.0-alpha.2", "python", ["3.11"], "3.15.0-alpha.2"),
        ("21-ea", "java", ["17"], "21.0.0-ea"),
    ],
)
def test_a_row_is_as_precise_as_its_siblings(text: str, language: str, others: list[str], expected: str) -> None:
    assert row_version(text, language, others) == expected


def test_nothing_is_added_for_a_shell_or_a_language_without_runtime() -> None:
    assert missing_versions(stored(), [found("5.2.15", "shell"), found("3.1.2", "ruby")]) == []
