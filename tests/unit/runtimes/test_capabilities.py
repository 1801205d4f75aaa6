"""The JSON of a worker's capabilities."""

from __future__ import annotations

import json

import pytest

from agent.runtimes.capabilities import WorkerFacts, build_capabilities
from agent.runtimes.detected import DetectedInterpreter


def facts(**changes: object) -> WorkerFacts:
    values: dict[str, object] = {"worker_version": "1.0", "max_concurrent_executions": 10} | changes
    return WorkerFacts(**values)  # type: ignore[arg-type]


def test_a_full_worker_states_the_minimum() -> None:
    capabilities, warnings = build_capabilities(facts(runtimes=("python", "node.js")))
    assert capabilities == {
        "max_concurrent_executions": 10,
        "worker_version": "1.0",
        "runtimes": ["python", "node.js"],
        "guarded_claim": True,
    }
    assert warnings == []


def test_an_agent_states_itself_and_what_it_found() -> None:
    detected = [DetectedInterpreter("shell", "/bin/sh"), DetectedInterpreter("node", "/usr/bin/node", "20.11.0")]
    capabilities, _ = build_capabilities(
        facts(
            agent_mode=True,
            agent_binary_name="attune-agent",
            agent_binary_version=" 1.0 ",
            detected=detected,
            runtime_versions={"node": ("20.11.0",)},
        )
    )
    assert capabilities["agent_mode"] is True
    assert capabilities["agent_binary_name"] == "attune-agent"
    assert capabilities["agent_binary_version"] == "1.0"
    assert capabilities["detected_interpreters"] == [
        {"name": "shell", "path": "/bin/sh", "version": None},
        {"name": "node", "path": "/usr/bin/node", "version": "20.11.0"},
    ]
    assert capabilities["runtime_versions"] == {"node": ["20.11.0"]}
    json.dumps(capabilities)


def test_an_agent_that_found_nothing_states_its_mode_only() -> None:
    capabilities, _ = build_capabilities(facts(agent_mode=True, agent_binary_name=" "))
    assert capabilities["agent_mode"] is True
    assert {"agent_binary_name", "detected_interpreters", "runtime_versions"}.isdisjoint(capabilities)


def test_configured_keys_win_except_for_the_runtimes() -> None:
    extra = {"runtimes": ["cobol"], "gpu": {"count": 2}, "max_concurrent_executions": 99}
    capabilities, _ = build_capabilities(facts(runtimes=("shell",), extra=extra))
    assert capabilities["runtimes"] == ["shell"]
    assert capabilities["gpu"] == {"count": 2}
    assert capabilities["max_concurrent_executions"] == 99


def test_invalid_labels_are_left_out_with_a_warning() -> None:
    capabilities, warnings = build_capabilities(facts(labels={"zone": "a", " ": "b", "rack": " ", "n": 3}))
    assert capabilities["labels"] == {"zone": "a"}
    assert len(warnings) == 3
    assert "labels" not in build_capabilities(facts(labels={"": ""}))[0]


def test_taints_get_the_default_effect() -> None:
    capabilities, warnings = build_capabilities(
        facts(taints=({"key": "gpu"}, {"key": "a", "value": "b", "effect": None}))
    )
    assert capabilities["taints"] == [
        {"key": "gpu", "effect": "no_schedule"},
        {"key": "a", "value": "b", "effect": "no_schedule"},
    ]
    assert warnings == []


@pytest.mark.parametrize(
    "taint",
    [{"key": " "}, {"value": "x"}, {"key": "a", "value": " "}, {"key": "a", "effect": "evict"}, "gpu", {"key": 3}],
)
def test_an_invalid_taint_is_left_out_with_a_warning(taint: object) -> None:
    capabilities, warnings = build_capabilities(facts(taints=(taint, {"key": "ok", "effect": "prefer_no_schedule"})))
    assert capabilities["taints"] == [{"key": "ok", "effect": "prefer_no_schedule"}]
    assert len(warnings) == 1 and repr(taint) in warnings[0]


def test_a_worker_that_never_returns_says_how_soon_it_is_missed() -> None:
    capabilities, _ = build_capabilities(facts(ephemeral_interval=10.0))
    assert (capabilities["heartbeat_interval"], capabilities["ephemeral"]) == (10.0, True)
