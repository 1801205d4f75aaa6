"""Versions that workers advertise."""

from __future__ import annotations

from agent.runtimes.advertised import advertised_versions, detected_versions, merged_versions, verified_versions
from agent.runtimes.detected import DetectedInterpreter


def found(name: str, version: str | None) -> DetectedInterpreter:
    return DetectedInterpreter(name, f"/usr/bin/{name}", version)


def test_detected_versions_are_grouped_by_normalised_name_in_order_of_their_text() -> None:
    detected = [found("nodejs", "20.11.0"), found("node", "8.0.0"), found("shell", None), found("ruby", " ")]
    assert detected_versions(detected) == {"node": ["20.11.0", "8.0.0"]}
    assert detected_versions([]) == {}


def test_verified_versions_are_newest_first_with_sorted_keys() -> None:
    rows = [
        ("core.python", "3.11"),
        ("core.python", "3.12"),
        ("core.nodejs", "18"),
        ("auto.node", "20"),
        ("core.nodejs", "20"),
    ]
    assert verified_versions(rows) == {"node": ["20", "18"], "python": ["3.12", "3.11"]}
    assert list(verified_versions(rows)) == ["node", "python"]


def test_versions_that_are_none_come_last() -> None:
    assert verified_versions([("core.node", "lts"), ("core.node", "9"), ("core.node", "20")]) == {
        "node": ["20", "9", "lts"]
    }


def test_a_filter_keeps_the_runtimes_it_means() -> None:
    rows = [("core.python", "3.11"), ("core.nodejs", "18")]
    assert verified_versions(rows, ["python3"]) == {"python": ["3.11"]}
    assert verified_versions(rows, []) == {}


def test_detected_and_verified_versions_are_stated_together() -> None:
    assert merged_versions({"node": ["20.19.0"], "ruby": ["3.1.2"]}, {"node": ["20", "18"]}) == {
        "node": ["20.19.0", "20", "18"],
        "ruby": ["3.1.2"],
    }


def test_what_runtime_versions_states_is_preferred() -> None:
    capabilities = {
        "runtime_versions": {"python": ["3.12.13"], "node": ["20"]},
        "detected_interpreters": [{"name": "python", "path": "/x", "version": "3.9.1"}],
    }
    assert advertised_versions(capabilities, ["Python3", "python"]) == ["3.12.13"]


def test_detected_interpreters_answer_where_nothing_else_does() -> None:
    entries = [
        {"name": "python3", "path": "/x", "version": "3.9.1"},
        {"name": "python", "path": "/x", "version": None},
        {"name": "node", "version": "20"},
        "nonsense",
    ]
    assert advertised_versions({"detected_interpreters": entries}, ["python"]) == ["3.9.1"]
    assert advertised_versions({"runtime_versions": {"python": []}, "detected_interpreters": entries}, ["python"]) == [
        "3.9.1"
    ]


def test_malformed_capabilities_state_nothing() -> None:
    assert advertised_versions({}, ["python"]) == []
    assert advertised_versions({"runtime_versions": ["3"], "detected_interpreters": {}}, ["python"]) == []
    assert advertised_versions({"runtime_versions": {"python": "3.12"}}, ["python"]) == []
    assert advertised_versions({"runtime_versions": {"python": [3, "3.11"]}}, ["python"]) == ["3.11"]
