"""Say why a worker can't take an execution: what it lacks for ever, and what may pass (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.errors import VersionError
from agent.liveness import DEAD_AFTER
from agent.placement.affinity import affinity_problem, selector_problem, taint_problem
from agent.placement.candidate import Candidate
from agent.placement.demand import Demand
from agent.runtimes.advertised import refused_versions
from agent.runtimes.names import normalize_runtime_name
from agent.versions import matches_row, parse_constraint, parse_version


def misfit(demand: Demand, candidate: Candidate) -> str | None:
    """Say why the worker can't take the execution now, its slots aside; None when it can."""
    return next(iter(misfits(demand, candidate)), None)


def misfits(demand: Demand, candidate: Candidate) -> list[str]:
    """Say everything that keeps the worker from taking the execution now, its slots aside."""
    unfit = lacks(demand, candidate)
    silent = absence(candidate)
    return [*unfit, silent] if silent else unfit


def lacks(demand: Demand, candidate: Candidate) -> list[str]:
    """Say what the worker does not have, whatever its state."""
    found = (
        _runtime_problem(demand, candidate.capabilities),
        _required_problem(demand, candidate.capabilities),
        selector_problem(demand.selector, candidate.labels),
        taint_problem(candidate.capabilities.get("taints"), demand.tolerations),
        affinity_problem(demand.affinity, candidate.labels),
    )
    return [problem for problem in found if problem]


def absence(candidate: Candidate) -> str | None:
    """Say why the worker gets no work at all now: its status, a cordon, its silence."""
    if candidate.status != "active":
        return f"is {candidate.status}"
    if candidate.cordoned:
        return "is cordoned" + (f" ({candidate.cordon_reason})" if candidate.cordon_reason else "")
    if candidate.heartbeat_age is None:
        return "never sent a heartbeat"
    if candidate.heartbeat_age > DEAD_AFTER:
        return f"sent its last heartbeat {candidate.heartbeat_age:.0f} s ago"
    return None


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
            return f"the action's required_worker_runtimes.{name} must be a string"
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
    # What the worker's own check refused isn't made good by the text of a version.
    refused = refused_versions(capabilities, names)
    versions = [text for text in _advertised(names, capabilities) if not _refuses(refused, text, label)]
    if not versions:
        return f"advertises no version of {label}; {constraint} is required"
    for text in versions:
        try:
            if wanted.accepts(parse_version(text, label)):
                return None
        except VersionError:
            continue  # another program advertised something that is no version
    return f"has {label} {', '.join(versions)}; {constraint} is required"


def _refuses(refused: Mapping[str, str], version: str, label: str) -> bool:
    return any(matches_row(row, version, label) for row in refused)


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


def _offered(capabilities: Mapping[str, Any]) -> set[str]:
    return {normalize_runtime_name(name) for name in _runtimes(capabilities)}


def _listed(capabilities: Mapping[str, Any]) -> str:
    return ", ".join(_runtimes(capabilities)) or "no runtime"


def _label(names: Sequence[str]) -> str:
    return normalize_runtime_name(names[0])


def _runtimes(capabilities: Mapping[str, Any]) -> list[str]:
    names = capabilities.get("runtimes")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
