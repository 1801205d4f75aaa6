"""Ask the interpreters that may be on this machine for their versions, all at once.

What ends with another exit code than 0, doesn't answer or prints no version is no interpreter, whatever it is called:
the next one is taken, and both are reported. This is what ``--detect-only`` runs: it imports nothing that isn't in the
standard library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agent.process.child_env import container_environment
from agent.process.parallel import run_commands
from agent.runtimes.candidates import Candidate, find_candidates
from agent.runtimes.languages import LANGUAGES, Language
from agent.runtimes.version_output import parse_version_output

if TYPE_CHECKING:
    from agent.process.command import CommandOutcome
    from agent.runtimes.detected import DetectedInterpreter, Detection

    _Answer = tuple[Candidate, DetectedInterpreter]

PROBE_TIMEOUT = 5.0
#: Commands that run at the same time.
_WIDTH = 32


def detect_interpreters(
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = PROBE_TIMEOUT,
    families: Sequence[Language] = LANGUAGES,
    search_paths: Sequence[str] = (),
) -> Detection:
    """Find this machine's interpreters and ask each for its version.

    ``env`` is the environment to search and to ask in, by default the container's own; ``timeout`` is the seconds that
    one may take; ``search_paths`` are directories to look into besides PATH.

    Promise: every tool has a time limit.
    """
    environment = container_environment() if env is None else env
    answers = _ask(find_candidates(environment, families, search_paths), environment, timeout)
    usable = {candidate.family.name for candidate, answer in answers if answer.problem is None}
    for family in families:
        if family.substitutes and family.name not in usable:
            named = family._replace(binaries=family.substitutes, versioned="", homes=(), tools=())
            substitutes = find_candidates(environment, [named], search_paths)
            answers += _ask([item._replace(family=family) for item in substitutes], environment, timeout)
    return _detection(_shells(answers, environment, timeout), families)


def _ask(candidates: Sequence[Candidate], env: Mapping[str, str], timeout: float) -> list[_Answer]:
    """Start each candidate that is worth it, many at the same time, and read its version."""
    asked = [candidate for candidate in candidates if not candidate.problem]
    commands = [(candidate.path, *candidate.family.version_arguments) for candidate in asked]
    outcomes: list[CommandOutcome] = []
    for start in range(0, len(commands), _WIDTH):
        outcomes += run_commands(commands[start : start + _WIDTH], timeout=timeout, env=env, cwd="/")
    by_path = dict(zip(asked, outcomes, strict=True))
    return [(candidate, _describe(candidate, by_path.get(candidate), timeout)) for candidate in candidates]


def _describe(candidate: Candidate, outcome: CommandOutcome | None, timeout: float) -> DetectedInterpreter:
    # Not at the top: by now the interpreters have run, and nothing waits for what this pulls in.
    from agent.runtimes.detected import DetectedInterpreter

    if outcome is None:
        return DetectedInterpreter(candidate.family.name, candidate.path, None, candidate.problem)
    output = (outcome.stdout + b"\n" + outcome.stderr).decode("utf-8", "replace")
    version = parse_version_output(candidate.family.name, output)
    problem = _problem(candidate.family, outcome, version, output, timeout)
    return DetectedInterpreter(candidate.family.name, candidate.path, None if problem else version, problem)


def _problem(family: Language, outcome: CommandOutcome, version: str | None, output: str, timeout: float) -> str | None:
    """Why this is no interpreter of ``family``; None when it is one."""
    if outcome.kind == "timed_out":
        return f"no answer within {timeout:g} s"
    if outcome.kind == "failed_to_start":
        return outcome.reason
    said = next((line.strip()[:200] for line in output.splitlines() if line.strip()), "")
    if outcome.exit_code != 0:
        ended = outcome.reason or f"{family.version_arguments[0]} ends with exit code {outcome.exit_code}"
        return f"{ended}: {said}" if said else ended
    if version is None:
        return f"it prints no version, but: {said}" if said else "it prints no version"
    if family.name == "python" and version.split(".")[0] == "2":
        return f"it is Python {version}; actions need Python 3"
    return None


def _shells(answers: list[_Answer], env: Mapping[str, str], timeout: float) -> list[_Answer]:
    """A plain ``sh`` may know no ``--version`` and is a shell all the same; only the first usable one counts."""
    from dataclasses import replace

    checked = []
    have_one = False
    for candidate, answer in answers:
        if candidate.family.name != "shell":
            checked.append((candidate, answer))
            continue
        if have_one:
            continue
        if answer.problem and not candidate.problem:
            (outcome,) = run_commands([(candidate.path, "-c", ":")], timeout=timeout, env=env, cwd="/")
            if outcome.succeeded:
                answer = replace(answer, problem=None)
        have_one = answer.problem is None
        checked.append((candidate, answer))
    return checked


def _detection(answers: Sequence[_Answer], families: Sequence[Language]) -> Detection:
    from agent.runtimes.detected import Detection

    found: list[DetectedInterpreter] = []
    for family in families:
        mine = [(candidate, answer) for candidate, answer in answers if candidate.family is family]
        usable = [(candidate.plain, answer) for candidate, answer in mine if answer.problem is None]
        plain = next((answer for is_plain, answer in usable if is_plain), None)
        others = sorted((answer for _, answer in usable if answer is not plain), key=_newest_first)
        found += [*([plain] if plain is not None else []), *others]
    unusable = [answer for _, answer in answers if answer.problem is not None]
    return Detection(tuple(found), tuple(unusable))


def _newest_first(item: DetectedInterpreter) -> tuple[list[int], bool, str]:
    release, _, pre = (item.version or "").partition("-")
    return [-int(part) for part in release.split("_")[0].split(".") if part.isdigit()], bool(pre), item.path
