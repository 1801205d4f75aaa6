"""Choose the worker for an execution as the executor does, and say why each of the others does not fit (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.control.affinity import affinity_problem, preference, selector_problem, taint_problem
from agent.errors import VersionError
from agent.runtimes.names import normalize_runtime_name
from agent.versions import parse_constraint, parse_version

FRESH_SECONDS = 90.0
"""A worker whose last heartbeat is older gets no work: three times the executor's fixed 30 seconds."""


@dataclass(frozen=True)
class Demand:
    """What an execution asks of its worker; ``runtime_names`` is empty when the action has no runtime."""

    runtime_names: tuple[str, ...] = ()
    version_constraint: str | None = None
    required_runtimes: Mapping[str, Any] = field(default_factory=dict)
    selector: Any = None
    tolerations: Any = None
    affinity: Any = None


@dataclass(frozen=True)
class Candidate:
    """A worker as its row describes it; ``heartbeat_age`` is in seconds, None when it never sent one."""

    id: int
    name: str
    status: str
    cordoned: bool
    cordon_reason: str | None
    heartbeat_age: float | None
    capabilities: Mapping[str, Any]


@dataclass(frozen=True)
class Placement:
    """The worker that was chosen, if any, and for each that does not fit ``(name, reason)``."""

    worker: Candidate | None
    refusals: tuple[tuple[str, str], ...]


def choose(demand: Demand, candidates: Sequence[Candidate], *, turn: int = 0) -> Placement:
    """Choose among ``candidates``, in their order; ``turn`` counts on, so that equals take turns."""
    fitting: list[Candidate] = []
    refusals: list[tuple[str, str]] = []
    for candidate in candidates:
        problem = misfit(demand, candidate)
        if problem is None:
            fitting.append(candidate)
        else:
            refusals.append((candidate.name, problem))
    if not fitting:
        return Placement(None, tuple(refusals))
    weights = [preference(demand.affinity, _labels(candidate)) for candidate in fitting]
    best = [candidate for candidate, weight in zip(fitting, weights, strict=True) if weight == max(weights)]
    return Placement(best[turn % len(best)], tuple(refusals))


def misfit(demand: Demand, candidate: Candidate) -> str | None:
    """Say why the worker can't take the execution; None when it can."""
    return (
        _runtime_problem(demand, candidate.capabilities)
        or _required_problem(demand, candidate.capabilities)
        or selector_problem(demand.selector, _labels(candidate))
        or taint_problem(candidate.capabilities.get("taints"), demand.tolerations)
        or affinity_problem(demand.affinity, _labels(candidate))
        or _liveness_problem(candidate)
    )


def _runtime_problem(demand: Demand, capabilities: Mapping[str, Any]) -> str | None:
    if not demand.runtime_names:
        return None
    wanted = {normalize_runtime_name(name) for name in demand.runtime_names}
    if not wanted & _offered(capabilities):
        return f"offers {_listed(capabilities)}; not {_label(demand.runtime_names)}"
    if demand.version_constraint and demand.version_constraint.strip():
        return _version_problem(wanted, demand.version_constraint, capabilities)
    return None


def _required_problem(demand: Demand, capabilities: Mapping[str, Any]) -> str | None:
    for name, constraint in demand.required_runtimes.items():
        wanted = normalize_runtime_name(name)
        if wanted not in _offered(capabilities):
            return f"offers {_listed(capabilities)}; not {wanted}, which the action also requires"
        if not isinstance(constraint, str):
            return f"the action's required_worker_runtimes.{name} is not a text"
        if constraint.strip() != "*":
            problem = _version_problem({wanted}, constraint, capabilities)
            if problem:
                return problem
    return None


def _version_problem(names: set[str], constraint: str, capabilities: Mapping[str, Any]) -> str | None:
    try:
        wanted = parse_constraint(constraint, min(names))
    except VersionError as error:
        return str(error)
    label = min(names)
    versions = _advertised(names, capabilities)
    if not versions:
        return f"says no version of {label}; {constraint} is wanted"
    for text in versions:
        try:
            if wanted.accepts(parse_version(text, label)):
                return None
        except VersionError:
            continue  # another program advertised something that is no version
    return f"has {label} {', '.join(versions)}; {constraint} is wanted"


def _advertised(names: set[str], capabilities: Mapping[str, Any]) -> list[str]:
    """Versions from ``runtime_versions``, else from ``detected_interpreters``, as the executor looks them up."""
    table = capabilities.get("runtime_versions")
    found = []
    for name, versions in table.items() if isinstance(table, Mapping) else ():
        if normalize_runtime_name(name) in names and isinstance(versions, list):
            found += [version for version in versions if isinstance(version, str)]
    if not found:
        for entry in capabilities.get("detected_interpreters") or ():
            if not isinstance(entry, Mapping) or not isinstance(entry.get("version"), str):
                continue
            if normalize_runtime_name(str(entry.get("name"))) in names:
                found.append(entry["version"])
    return list(dict.fromkeys(found))


def _liveness_problem(candidate: Candidate) -> str | None:
    if candidate.status != "active":
        return f"is {candidate.status}"
    if candidate.cordoned:
        return "is cordoned" + (f" ({candidate.cordon_reason})" if candidate.cordon_reason else "")
    if candidate.heartbeat_age is None:
        return "never sent a heartbeat"
    if candidate.heartbeat_age > FRESH_SECONDS:
        return f"sent its last heartbeat {candidate.heartbeat_age:.0f} s ago"
    return None


def _offered(capabilities: Mapping[str, Any]) -> set[str]:
    return {normalize_runtime_name(name) for name in _runtimes(capabilities)}


def _listed(capabilities: Mapping[str, Any]) -> str:
    return ", ".join(_runtimes(capabilities)) or "no runtime"


def _label(names: Sequence[str]) -> str:
    return normalize_runtime_name(names[0])


def _runtimes(capabilities: Mapping[str, Any]) -> list[str]:
    names = capabilities.get("runtimes")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _labels(candidate: Candidate) -> Mapping[str, Any]:
    labels = candidate.capabilities.get("labels")
    return labels if isinstance(labels, Mapping) else {}
