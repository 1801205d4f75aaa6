"""Why an action gets the version that it gets: every candidate, and why it was taken or not (pure).

The sentences are those of the failed execution and of placement, so that whoever reads one knows the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.errors import UnmetConstraint
from agent.runtimes.advertised import advertised_versions
from agent.runtimes.choice import choose_version, why_not
from agent.runtimes.local import Local
from agent.runtimes.model import RuntimeVersion
from agent.runtimes.names import language_of, normalize_runtime_name
from agent.runtimes.verification import VersionCheck
from agent.versions import matches_row


@dataclass(frozen=True)
class CandidateVersion:
    """One row; ``actual`` is what the interpreter says of itself, where that is known."""

    version: str
    taken: bool
    reason: str
    actual: str | None = None


@dataclass(frozen=True)
class VersionExplanation:
    """``conclusion`` is one sentence; ``chosen`` the row that is taken, None for the base configuration or nothing."""

    conclusion: str
    met: bool
    chosen: str | None
    candidates: tuple[CandidateVersion, ...]


def explain_versions(
    checks: Sequence[VersionCheck],
    constraint: str | None,
    *,
    base: Local | None,
    runtime: str,
    language: str | None = None,
) -> VersionExplanation:
    """Choose as an execution does, and say of every row why it was taken or not."""
    try:
        chosen = choose_version(checks, constraint, base=base, runtime=runtime, language=language)
    except UnmetConstraint as error:
        return VersionExplanation(str(error), False, None, _candidates(checks, constraint, None, language))
    wanted = f" meets {constraint.strip()!r}" if constraint and constraint.strip() else ": no constraint"
    if chosen is None:
        said = f" ({base.interpreter or base.version})" if base and (base.interpreter or base.version) else ""
        conclusion = f"{runtime} runs as its definition says{said}{wanted}"
    else:
        conclusion = f"{runtime} {chosen.row.version}{wanted}"
    return VersionExplanation(
        conclusion, True, chosen.row.version if chosen else None, _candidates(checks, constraint, chosen, language)
    )


def checks_of_worker(rows: Sequence[RuntimeVersion], capabilities: Mapping[str, Any], name: str) -> list[VersionCheck]:
    """Return what a worker's capabilities say of each row: its own checks, else the versions that it advertises."""
    language = normalize_runtime_name(name)
    stated = capabilities.get("runtime_verdicts")
    known = {
        (entry.get("ref"), entry.get("version")): entry
        for entry in (stated if isinstance(stated, list) else ())
        if isinstance(entry, Mapping)
    }
    advertised = advertised_versions(capabilities, (language,))
    return [_check(row, known.get((row.runtime_ref, row.version)), advertised, language) for row in rows]


def _check(row: RuntimeVersion, entry: Mapping[str, Any] | None, advertised: Sequence[str], name: str) -> VersionCheck:
    if row.disabled:
        return VersionCheck(row, False, "an operator switched it off (meta.disabled)")
    if entry is not None:
        actual = entry.get("actual")
        return VersionCheck(
            row,
            entry.get("ok") is True,
            str(entry.get("reason") or ""),
            actual=actual if isinstance(actual, str) else None,
        )
    matching = [version for version in advertised if matches_row(row.version, version, name)]
    if matching:
        return VersionCheck(row, True, f"the worker advertises {matching[-1]}", actual=matching[-1])
    return VersionCheck(row, False, f"the worker advertises {', '.join(advertised) or 'no version'}")


def base_of_worker(capabilities: Mapping[str, Any], name: str, ref: str) -> Local | None:
    """Return the interpreter that a worker has for the runtime itself, as far as its capabilities tell."""
    from agent.runtimes.execution_config import ExecutionConfig

    language = language_of(name, ref)
    for entry in capabilities.get("detected_interpreters") or ():
        if isinstance(entry, Mapping) and normalize_runtime_name(str(entry.get("name", ""))) == language:
            version = entry.get("version")
            return Local(ExecutionConfig(), str(entry.get("path") or ""), version if isinstance(version, str) else None)
    return None


def _candidates(
    checks: Sequence[VersionCheck], constraint: str | None, chosen: VersionCheck | None, language: str | None
) -> tuple[CandidateVersion, ...]:
    return tuple(
        CandidateVersion(
            check.row.version,
            check is chosen,
            check.reason if check is chosen else why_not(check, constraint, chosen, language),
            check.actual,
        )
        for check in checks
    )
