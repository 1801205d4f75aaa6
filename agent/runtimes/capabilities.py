"""The JSON in which a worker tells the scheduler what it can do (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.offered import Role

_EFFECTS = ("no_schedule", "prefer_no_schedule")


@dataclass(frozen=True)
class WorkerFacts:
    """Everything that goes into ``worker.capabilities``.

    Of a sensor service ``max_concurrent_executions`` is how many sensors it runs at the same time.
    ``detected`` is for agents only: a full worker passes none, and ``runtime_versions`` once they are verified.
    ``limits`` are those of the container. ``ephemeral_interval`` is the heartbeat's, in seconds, of a worker whose name
    never returns: others clean up after it when it is gone.
    ``extra`` are the keys of ``worker.capabilities`` in the configuration: they win over the keys made here.
    """

    worker_version: str
    max_concurrent_executions: int
    role: Role = "worker"
    runtimes: Sequence[str] = ()
    agent_mode: bool = False
    agent_binary_name: str | None = None
    agent_binary_version: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    taints: Sequence[Any] = ()
    detected: Sequence[DetectedInterpreter] = ()
    runtime_versions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    limits: Mapping[str, float | int] = field(default_factory=dict)
    ephemeral_interval: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def build_capabilities(facts: WorkerFacts) -> tuple[dict[str, Any], list[str]]:
    """Return the object, and a warning for each label or taint that was left out."""
    warnings: list[str] = []
    capabilities = _of_a_sensor_service(facts) if facts.role == "sensor" else _of_a_worker(facts)
    if facts.agent_mode:
        capabilities["agent_mode"] = True
    for key, text in (
        ("agent_binary_name", facts.agent_binary_name),
        ("agent_binary_version", facts.agent_binary_version),
    ):
        if text is not None and text.strip():
            capabilities[key] = text.strip()
    placement = {"labels": _labels(facts.labels, warnings), "taints": _taints(facts.taints, warnings)}
    capabilities |= {key: value for key, value in placement.items() if value}
    if facts.detected:
        capabilities["detected_interpreters"] = [
            {"name": item.name, "path": item.path, "version": item.version} for item in facts.detected
        ]
    if facts.runtime_versions:
        capabilities["runtime_versions"] = {name: list(found) for name, found in facts.runtime_versions.items()}
    if facts.limits:
        capabilities["limits"] = dict(facts.limits)
    if facts.ephemeral_interval is not None:
        capabilities |= {"ephemeral": True, "heartbeat_interval": facts.ephemeral_interval}
    capabilities |= {key: value for key, value in facts.extra.items() if key != "runtimes"}
    return capabilities, warnings


def _of_a_worker(facts: WorkerFacts) -> dict[str, Any]:
    return {
        "max_concurrent_executions": facts.max_concurrent_executions,
        "worker_version": facts.worker_version,
        "runtimes": list(facts.runtimes),
        # A dispatch may be taken back, or be sent twice: this worker runs only what it has claimed.
        "guarded_claim": True,
    }


def _of_a_sensor_service(facts: WorkerFacts) -> dict[str, Any]:
    return {
        "max_concurrent_sensors": facts.max_concurrent_executions,
        "sensor_version": facts.worker_version,
        "runtimes": list(facts.runtimes),
        # A sensor runs here only while its lock is held.
        "sensor_locks": True,
    }


def _labels(labels: Mapping[str, Any], warnings: list[str]) -> dict[str, str]:
    valid = {}
    for key, value in labels.items():
        if _says_something(key) and _says_something(value):
            valid[key.strip()] = value.strip()
        else:
            warnings.append(f"worker.labels: {key!r}: {value!r} is ignored; both must be non-empty strings")
    return valid


def _taints(taints: Sequence[Any], warnings: list[str]) -> list[dict[str, str]]:
    valid = []
    for taint in taints:
        problem = _taint_problem(taint)
        if problem:
            warnings.append(f"worker.taints: {taint!r} is ignored; {problem}")
            continue
        entry = {"key": taint["key"].strip()}
        if taint.get("value") is not None:
            entry["value"] = taint["value"].strip()
        valid.append(entry | {"effect": taint.get("effect") or _EFFECTS[0]})
    return valid


def _taint_problem(taint: Any) -> str | None:
    if not isinstance(taint, Mapping):
        return "a taint has a key, and may have a value and an effect"
    if not _says_something(taint.get("key")):
        return "its key must be a non-empty string"
    if taint.get("value") is not None and not _says_something(taint["value"]):
        return "its value must be a non-empty string"
    if (taint.get("effect") or _EFFECTS[0]) not in _EFFECTS:
        return f"its effect must be {' or '.join(_EFFECTS)}"
    return None


def _says_something(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
