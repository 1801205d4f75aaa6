"""What ``--detect-only`` prints: a report for people, JSON for programs (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agent.runtimes.probe import FAMILIES

if TYPE_CHECKING:
    from agent.runtimes.detected import DetectedInterpreter


def environment_value(detected: Sequence[DetectedInterpreter]) -> str:
    """Return the names as the environment variable takes them, in order of detection (``shell,python``)."""
    return ",".join(item.name for item in detected)


def detection_report(detected: Sequence[DetectedInterpreter], *, variable: str, override: str | None) -> str:
    """Return the report; ``override`` is the value of ``variable``, None where it isn't set."""
    lines = []
    if override is not None:
        lines += [
            f"NOTE: {variable} is set ({override}): a normal start uses it and skips auto-detection.",
            "      Without it, detection would find the following:",
            "",
        ]
    lines += ["=== Attune Agent Runtime Detection Report ===", ""]
    lines += _found(detected) if detected else _nothing_found()
    lines += ["", f"{variable}={environment_value(detected)}", ""]
    return "\n".join(lines) + "\n"


def detection_json(detected: Sequence[DetectedInterpreter], *, variable: str) -> dict[str, Any]:
    """Return the same for programs; ``problem`` is there only where an interpreter has one."""
    runtimes = []
    for item in detected:
        entry = {"name": item.name, "path": item.path, "version": item.version}
        runtimes.append(entry | {"problem": item.problem} if item.problem else entry)
    return {"runtimes": runtimes, "env": {variable: environment_value(detected)}}


def describe(item: DetectedInterpreter) -> str:
    """Return one interpreter in a few words (``python (/usr/bin/python3, v3.11.2)``)."""
    return f"{item.name} ({item.path}, v{item.version})" if item.version else f"{item.name} ({item.path})"


def _found(detected: Sequence[DetectedInterpreter]) -> list[str]:
    lines = [f"Detected {len(detected)} runtime(s):", ""]
    for item in detected:
        lines.append(f"  ✓ {item.name:<10} {item.path} ({item.version or 'unknown version'})")
        if item.problem:
            lines.append(f"    {'':<10} {item.problem}")
    return lines


def _nothing_found() -> list[str]:
    families = ["/".join(family.binaries) for family in FAMILIES]
    return [
        "No runtimes detected!",
        "",
        "None of the known interpreters is on PATH or in /bin.",
        "Install one of these, or set the variable below to the runtimes that this container has:",
        *(f"  - {family}" for family in families),
    ]
