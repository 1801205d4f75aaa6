"""Run verification commands: each subject's in order until one succeeds, all subjects side by side."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from agent.process.command import CommandOutcome
from agent.process.parallel import run_commands
from agent.reading.patterns import PatternError, search
from agent.runtimes.checks import Check
from agent.runtimes.machine import Machine

log = logging.getLogger(__name__)

#: Commands that run at the same time.
_WIDTH = 16

_Argv = tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """``check`` is the one that succeeded, None when none did; ``reason`` says which, or why not.

    ``refuted``: a program that was asked is here and failed; that it isn't here, or is another version, says less.
    """

    check: Check | None
    reason: str
    output: str = ""
    refuted: bool = False


def run_checks(subjects: Sequence[Sequence[Check]], machine: Machine) -> list[Answer]:
    """Return one answer for each subject, in order. A command that several ask for runs once."""
    answers = [Answer(None, "" if checks else "it has no verification commands") for checks in subjects]
    outcomes: dict[_Argv, CommandOutcome | None] = {}
    turn = 0
    while waiting := [i for i, checks in enumerate(subjects) if answers[i].check is None and turn < len(checks)]:
        commands = {(subjects[i][turn].binary, *subjects[i][turn].args) for i in waiting}
        outcomes |= _run([argv for argv in commands if argv not in outcomes], machine)
        for i in waiting:
            check = subjects[i][turn]
            answers[i] = _judge(check, outcomes[check.binary, *check.args], answers[i])
        turn += 1
    return answers


def _run(commands: Sequence[_Argv], machine: Machine) -> dict[_Argv, CommandOutcome | None]:
    """Run the commands whose program is here; None stands for the others, mostly versions that this machine lacks."""
    outcomes: dict[_Argv, CommandOutcome | None] = dict.fromkeys(commands)
    here = [(argv, path) for argv in commands if (path := machine.find(argv[0]))]
    for start in range(0, len(here), _WIDTH):
        batch = here[start : start + _WIDTH]
        results = run_commands(
            [(path, *argv[1:]) for argv, path in batch], timeout=machine.timeout, env=machine.env, cwd="/"
        )
        outcomes |= {argv: result for (argv, _), result in zip(batch, results, strict=True)}
    return outcomes


def _judge(check: Check, outcome: CommandOutcome | None, before: Answer) -> Answer:
    output, problem = "", "no such program" if "/" in check.binary else "not found on PATH"
    if outcome is not None:
        output = (outcome.stdout + outcome.stderr).decode("utf-8", "replace")
        problem = _problem(check, outcome, output)
    if not problem:
        return Answer(check, f"{check} succeeded", output)
    if not check.optional:
        log.debug("verification failed: %s: %s", check, problem)
    failed = outcome is not None and (outcome.kind != "exited" or outcome.exit_code != check.exit_code)
    reason = "; ".join(filter(None, (before.reason, f"{check}: {problem}")))
    return Answer(None, reason, refuted=before.refuted or (failed and not check.optional))


def _problem(check: Check, outcome: CommandOutcome, output: str) -> str:
    """Why the outcome is no success; empty when it is one."""
    if outcome.kind != "exited":
        return outcome.reason
    if outcome.exit_code != check.exit_code:
        return outcome.reason or f"exit code {outcome.exit_code}"
    return "" if check.pattern is None else _mismatch(check, check.pattern, output)


def _mismatch(check: Check, pattern: str, output: str) -> str:
    try:
        if search(pattern, output):
            return ""
        said = next((line.strip()[:80] for line in output.splitlines() if line.strip()), "nothing")
        return f"it says {said}, which doesn't match {pattern:.100}"
    except PatternError as error:
        log.warning("verification by %s: pattern %.100r %s", check, pattern, error)
        return f"its pattern {error}"
