"""The detection report, for people and for programs."""

from __future__ import annotations

from agent.runtimes.detected import DetectedInterpreter, Detection
from agent.runtimes.detection_report import describe, detection_json, detection_report, environment_value

SHELL = DetectedInterpreter("shell", "/bin/bash", "5.2.15")
PYTHON = DetectedInterpreter("python", "/usr/bin/python3", "3.11.2")
DASH = DetectedInterpreter("shell", "/bin/sh")
HANGING = DetectedInterpreter("node", "/usr/bin/node", None, "no answer within 5 s")


def report(*detected: DetectedInterpreter, override: str | None = None) -> list[str]:
    found = tuple(item for item in detected if not item.problem)
    detection = Detection(found, tuple(item for item in detected if item.problem))
    text = detection_report(detection, variable="ATTUNE_WORKER_RUNTIMES", override=override)
    assert text.endswith("\n")
    return text.split("\n")[:-1]


def test_lists_what_was_found_as_the_reference_does() -> None:
    assert report(SHELL, PYTHON) == [
        "=== Attune Agent Runtime Detection Report ===",
        "",
        "Detected 2 runtime(s):",
        "",
        "  ✓ shell      /bin/bash (5.2.15)",
        "  ✓ python     /usr/bin/python3 (3.11.2)",
        "",
        "ATTUNE_WORKER_RUNTIMES=shell,python",
        "",
    ]


def test_says_when_a_version_could_not_be_told_and_why() -> None:
    lines = report(DASH, HANGING)
    assert "  ✓ shell      /bin/sh (unknown version)" in lines
    assert "  ✗ node       /usr/bin/node: no answer within 5 s" in lines
    assert lines[-2] == "ATTUNE_WORKER_RUNTIMES=shell"


def test_further_versions_stand_below_the_first() -> None:
    newer = DetectedInterpreter("python", "/opt/python3.13", "3.13.0")
    lines = report(SHELL, PYTHON, newer)
    assert lines[lines.index("  ✓ python     /usr/bin/python3 (3.11.2)") + 1].split() == ["/opt/python3.13", "(3.13.0)"]
    assert "Detected 2 runtime(s):" in lines and lines[-2] == "ATTUNE_WORKER_RUNTIMES=shell,python"


def test_says_when_nothing_was_found_and_what_is_looked_for() -> None:
    lines = report()
    assert lines[2:4] == ["No runtimes detected!", ""]
    bullets = [line.removeprefix("  - ") for line in lines if line.startswith("  - ")]
    assert bullets == ["bash/sh", "python3/python", "node/nodejs", "ruby", "go", "java", "Rscript", "perl"]
    assert lines[-2:] == ["ATTUNE_WORKER_RUNTIMES=", ""]


def test_notes_an_override_before_the_full_report() -> None:
    lines = report(SHELL, PYTHON, override="python")
    assert lines[0].startswith("NOTE: ATTUNE_WORKER_RUNTIMES is set (python)")
    assert lines[1].startswith("      ") and lines[2] == ""
    assert lines[3:] == report(SHELL, PYTHON)
    assert report(SHELL, override="")[0].startswith("NOTE:")


def test_the_json_form_is_the_documented_one() -> None:
    assert detection_json(Detection((PYTHON,)), variable="ATTUNE_WORKER_RUNTIMES") == {
        "runtimes": [{"name": "python", "path": "/usr/bin/python3", "version": "3.11.2"}],
        "env": {"ATTUNE_WORKER_RUNTIMES": "python"},
    }
    newer = DetectedInterpreter("python", "/opt/python3.13", "3.13.0")
    assert detection_json(Detection((DASH, PYTHON, newer), (HANGING,)), variable="X") == {
        "runtimes": [
            {"name": "shell", "path": "/bin/sh", "version": None},
            {
                "name": "python",
                "path": "/usr/bin/python3",
                "version": "3.11.2",
                "also": [{"path": "/opt/python3.13", "version": "3.13.0"}],
            },
        ],
        "unusable": [{"name": "node", "path": "/usr/bin/node", "problem": "no answer within 5 s"}],
        "env": {"X": "shell,python"},
    }


def test_the_environment_value_has_no_spaces() -> None:
    assert environment_value([SHELL, PYTHON]) == "shell,python"
    assert environment_value([]) == ""


def test_one_interpreter_is_described_in_a_few_words() -> None:
    assert describe(PYTHON) == "python (/usr/bin/python3, v3.11.2)"
    assert describe(DASH) == "shell (/bin/sh)"
