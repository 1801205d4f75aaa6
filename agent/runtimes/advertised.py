"""The versions that a worker advertises in its row: made from what was found, read from what another wrote (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent.errors import VersionError
from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.names import normalize_runtime_name
from agent.versions import Version, parse_version

if TYPE_CHECKING:
    from agent.runtimes.verification import VersionCheck

_LONGEST_REASON = 300
_MOST_CHECKS = 400


def detected_versions(detected: Iterable[DetectedInterpreter]) -> dict[str, list[str]]:
    """Return the versions of detected interpreters by normalised name, in ascending order of their text."""
    found: dict[str, set[str]] = {}
    for item in detected:
        if item.version is not None and item.version.strip():
            found.setdefault(normalize_runtime_name(item.name), set()).add(item.version)
    return {name: sorted(versions) for name, versions in found.items()}


def verified_versions(
    verified: Iterable[tuple[str, str]], allowed: Sequence[str] | None = None
) -> dict[str, list[str]]:
    """Return the verified versions of ``(runtime_ref, version)`` by normalised name, the newest first.

    ``allowed`` leaves out the runtimes that an operator's filter doesn't name.
    """
    wanted = None if allowed is None else {normalize_runtime_name(name) for name in allowed}
    found: dict[str, set[str]] = {}
    for ref, version in verified:
        name = normalize_runtime_name(ref.rsplit(".", 1)[-1])
        if wanted is None or name in wanted:
            found.setdefault(name, set()).add(version)
    return {name: sorted(found[name], key=_newness, reverse=True) for name in sorted(found)}


def merged_versions(*parts: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return all versions of several such objects, the newest first.

    An agent that has verified rows says both ``20.19.0`` and ``20``: the reference's scheduler takes a constraint of
    ``20`` for ``20.0.x`` and would find only the second.
    """
    return verified_versions(
        (name, version) for part in parts for name, versions in part.items() for version in versions
    )


def version_checks(checks: Iterable[VersionCheck], at: str) -> list[dict[str, Any]]:
    """Return what a worker tells of its checks, for people and for placement; ``at`` is when they were made."""
    return [
        {
            "ref": check.row.runtime_ref,
            "version": check.row.version,
            "ok": check.available,
            "reason": check.reason[:_LONGEST_REASON],
            "actual": check.actual,
            "at": at,
        }
        for check in checks
    ][:_MOST_CHECKS]


def refused_versions(capabilities: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Return the version rows that a worker's own checks refused, with the reason; malformed parts are nothing."""
    wanted = {normalize_runtime_name(name) for name in names}
    stated = capabilities.get("runtime_verdicts")
    found = {}
    for entry in stated if isinstance(stated, list) else ():
        if not isinstance(entry, Mapping) or entry.get("ok") is not False:
            continue
        ref, version = entry.get("ref"), entry.get("version")
        if not isinstance(ref, str) or not isinstance(version, str):
            continue
        if normalize_runtime_name(ref.rsplit(".", 1)[-1]) in wanted:
            found[version] = str(entry.get("reason") or "")
    return found


def advertised_versions(capabilities: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return the versions that a worker's capabilities state for a runtime known by ``names``.

    ``runtime_versions`` decides; where it says nothing, ``detected_interpreters`` does. Malformed parts are nothing.
    """
    wanted = {normalize_runtime_name(name) for name in names}
    stated = capabilities.get("runtime_versions")
    found: set[str] = set()
    for name, versions in stated.items() if isinstance(stated, Mapping) else ():
        if normalize_runtime_name(str(name)) in wanted and isinstance(versions, list):
            found |= {version for version in versions if isinstance(version, str)}
    return sorted(found or _detected_ones(capabilities.get("detected_interpreters"), wanted))


def _detected_ones(entries: Any, wanted: set[str]) -> set[str]:
    found = set()
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, Mapping) and normalize_runtime_name(str(entry.get("name", ""))) in wanted:
            found.add(entry.get("version"))
    return {version for version in found if isinstance(version, str) and version.strip()}


def _newness(text: str) -> tuple[bool, Version | str, str]:
    """Readable versions by their meaning, before the others by their text."""
    try:
        return True, parse_version(text), text
    except VersionError:
        return False, text, text
