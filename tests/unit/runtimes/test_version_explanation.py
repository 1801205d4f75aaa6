"""Why an action gets the version that it gets."""

from __future__ import annotations

from agent.runtimes.version_explanation import base_of_worker, checks_of_worker, explain_versions
from tests.unit.runtimes.rows import version

ROWS = (version("3.11", id_=1), version("3.12", id_=2, is_default=True), version("3.13", id_=3), version("3.14", id_=4))
CAPABILITIES = {
    "runtime_versions": {"python": ["3.11.7", "3.12.1", "3.13.0", "3.14.1"]},
    "detected_interpreters": [{"name": "python", "path": "/usr/bin/python3", "version": "3.11.7"}],
    "runtime_verdicts": [
        {
            "ref": "core.python",
            "version": "3.13",
            "ok": True,
            "reason": "python3.13 --version succeeded",
            "actual": "3.13.0",
        },
        {"ref": "core.python", "version": "3.14", "ok": False, "reason": "python3.14 --version: exit code 1"},
        "nonsense",
    ],
}


def explain(constraint: str | None, rows: tuple[object, ...] = ROWS):
    checks = checks_of_worker(rows, CAPABILITIES, "python")  # type: ignore[arg-type]
    base = base_of_worker(CAPABILITIES, "Python", "core.python")
    return explain_versions(checks, constraint, base=base, runtime="Python", language="python")


def test_every_candidate_has_its_reason() -> None:
    found = explain(">=3.12")
    assert (found.met, found.chosen, found.conclusion) == (True, "3.13", "Python 3.13 meets '>=3.12'")
    assert {item.version: (item.taken, item.reason) for item in found.candidates} == {
        "3.11": (False, "3.11.7 doesn't meet '>=3.12'"),
        "3.12": (False, "3.13 is higher"),
        "3.13": (True, "python3.13 --version succeeded"),
        "3.14": (False, "not here: python3.14 --version: exit code 1"),
    }


def test_without_a_constraint_the_default_is_named() -> None:
    found = explain(None)
    assert found.chosen == "3.12"
    assert {item.version: item.reason for item in found.candidates}["3.13"] == "3.12 is the default"


def test_an_unmet_constraint_says_what_a_failed_execution_says() -> None:
    found = explain(">=4")
    assert (found.met, found.chosen) == (False, None)
    assert found.conclusion.startswith("no version of Python on this machine meets '>=4'; found: 3.11.7")
    assert not any(item.taken for item in found.candidates)
    assert "can't be read" in explain("latest").conclusion


def test_what_an_operator_switched_off_is_named() -> None:
    found = explain(">=3.13", (version("3.13", id_=3, disabled=True),))
    assert not found.met and "an operator switched it off" in found.candidates[0].reason
