"""Ask the interpreters that the probe found for their versions, all at once.

This is what ``--detect-only`` runs: it imports nothing that isn't in the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agent.process.child_env import container_environment
from agent.process.parallel import run_commands
from agent.runtimes.probe import FAMILIES, Family, FoundInterpreter, find_interpreters

if TYPE_CHECKING:
    from agent.process.command import CommandOutcome
    from agent.runtimes.detected import DetectedInterpreter

PROBE_TIMEOUT = 5.0
_SEMVER_LIKE = re.compile(r"(?:v|go)?(\d+\.\d+(?:\.\d+)?)", re.ASCII)
_JAVA = re.compile(r'version\s+"([^"]+)"')


def detect_interpreters(
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = PROBE_TIMEOUT,
    families: Sequence[Family] = FAMILIES,
) -> list[DetectedInterpreter]:
    """Find this machine's interpreters and ask each for its version.

    ``env`` is the environment to search and to ask in, by default the container's own; ``timeout`` is the seconds that
    one may take. An interpreter that doesn't answer is reported without a version and with its ``problem``.

    Promise: every tool has a time limit.
    """
    environment = container_environment() if env is None else env
    found = find_interpreters(environment.get("PATH"), families)
    commands = [(item.path, *item.family.version_arguments) for item in found]
    outcomes = run_commands(commands, timeout=timeout, env=environment)
    return [_describe(item, outcome, timeout) for item, outcome in zip(found, outcomes, strict=True)]


def parse_version_output(family: str, output: str) -> str | None:
    """Return the version in what an interpreter printed, None where there is none."""
    if family == "java" and (quoted := _JAVA.search(output)):
        return quoted[1]
    found = _SEMVER_LIKE.search(output)
    return found[1] if found else None


def _describe(found: FoundInterpreter, outcome: CommandOutcome, timeout: float) -> DetectedInterpreter:
    # Not at the top: by now the interpreters have run, and nothing waits for what this pulls in.
    from agent.runtimes.detected import DetectedInterpreter

    output = (outcome.stdout + outcome.stderr).decode("utf-8", "replace")
    version = parse_version_output(found.family.name, output)
    problem = None
    if version is None and outcome.kind == "timed_out":
        problem = f"no answer within {timeout:g} s"
    elif outcome.kind == "failed_to_start":
        problem = outcome.reason
    return DetectedInterpreter(found.family.name, found.path, version, problem)
