"""What ``--detect-only`` prints: a report for people, JSON for programs (pure).

One line a language, below it the further versions of it that are here; what can't be used is named at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agent.runtimes.languages import LANGUAGES

if TYPE_CHECKING:
    from agent.runtimes.detected import DetectedInterpreter, Detection


def environment_value(detected: Sequence[DetectedInterpreter]) -> str:
    """Return the names as the environment variable takes them, in order of detection (``shell,python``)."""
    return ",".join(dict.fromkeys(item.name for item in detected))


def detection_report(detection: Detection, *, variable: str, override: str | None) -> str:
    """Return the report; ``override`` is the value of ``variable``, None where it isn't set."""
    lines = []
    if override is not None:
        lines += [
            f"NOTE: {variable} is set ({override}): a normal start uses it and skips auto-detection.",
            "      Without it, detection would find the following:",
            "",
        ]
    lines += ["=== Attune Agent Runtime Detection Report ===", ""]
    lines += _found(detection) if detection.found else _nothing_found()
    lines += _unusable(detection.unusable)
    lines += ["", f"{variable}={environment_value(detection.found)}", ""]
    return "\n".join(lines) + "\n"


def detection_json(detection: Detection, *, variable: str) -> dict[str, Any]:
    """Return the same for programs; ``also`` and ``unusable`` are there only where they have something to say."""
    runtimes: list[dict[str, Any]] = []
    for item in detection.first:
        entry: dict[str, Any] = {"name": item.name, "path": item.path, "version": item.version}
        also = [{"path": other.path, "version": other.version} for other in detection.others(item.name)]
        runtimes.append(entry | {"also": also} if also else entry)
    report: dict[str, Any] = {"runtimes": runtimes, "env": {variable: environment_value(detection.found)}}
    unusable = [{"name": item.name, "path": item.path, "problem": item.problem} for item in detection.unusable]
    return report | {"unusable": unusable} if unusable else report


def describe(item: DetectedInterpreter) -> str:
    """Return one interpreter in a few words (``python (/usr/bin/python3, v3.11.2)``)."""
    return f"{item.name} ({item.path}, v{item.version})" if item.version else f"{item.name} ({item.path})"


def _found(detection: Detection) -> list[str]:
    lines = [f"Detected {len(detection.first)} runtime(s):", ""]
    for item in detection.first:
        lines.append(f"  ✓ {item.name:<10} {item.path} ({item.version or 'unknown version'})")
        lines += [f"    {'':<10} {other.path} ({other.version})" for other in detection.others(item.name)]
    return lines


def _unusable(items: Sequence[DetectedInterpreter]) -> list[str]:
    if not items:
        return []
    return ["", "Not usable:", "", *(f"  ✗ {item.name:<10} {item.path}: {item.problem}" for item in items)]


def _nothing_found() -> list[str]:
    families = ["/".join(family.binaries) for family in LANGUAGES]
    return [
        "No runtimes detected!",
        "",
        "None of the known interpreters is on PATH or in /bin.",
        "Install one of these, or set the variable below to the runtimes that this container has:",
        *(f"  - {family}" for family in families),
    ]
