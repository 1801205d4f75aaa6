"""Decide, as values, which runtimes and which of their versions this machine has."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.runtimes.check_runner import Answer, run_checks
from agent.runtimes.checks import RUNTIME_PRIORITY, VERSION_PRIORITY, Check, Verification, read_verification
from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.languages import language_named
from agent.runtimes.local import Local, localize
from agent.runtimes.machine import Machine
from agent.runtimes.model import Runtime, RuntimeVersion
from agent.runtimes.names import language_of, normalize_runtime_name
from agent.runtimes.version_output import parse_version_output
from agent.versions import matches_row

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RuntimeCheck:
    """Whether a runtime is available here, and why (not)."""

    available: bool
    reason: str


@dataclass(frozen=True)
class VersionCheck:
    """Whether a row of ``runtime_version`` can be run here, and why (not).

    ``local`` is how this machine runs it; ``actual`` what the interpreter itself says (``3.12.13`` for ``3.12``).
    ``refuted``: a program that should show it is here and failed.
    """

    row: RuntimeVersion
    available: bool
    reason: str
    local: Local | None = None
    actual: str | None = None
    refuted: bool = False


def verify_runtimes(runtimes: Sequence[Runtime], machine: Machine) -> list[RuntimeCheck]:
    """Decide by the rows' own metadata which runtimes this machine has; all are checked side by side.

    A runtime without metadata, or whose every check fails, isn't available. A row that some agent made for its own
    machine is also met by the interpreter that was detected here (promise: the machine's own interpreter).
    """
    read = [_read(runtime.ref, runtime.distributions, RUNTIME_PRIORITY) for runtime in runtimes]
    answers = run_checks([() if item.needs_no_check else item.checks for item in read], machine)
    return [_runtime_check(*each, machine) for each in zip(runtimes, read, answers, strict=True)]


def verify_versions(versions: Sequence[RuntimeVersion], machine: Machine) -> list[VersionCheck]:
    """Decide which of the version rows can be run here; all are checked side by side.

    Without commands the interpreter must answer to being asked for its version. Where they fail, a detected
    interpreter of that very version will do (promise: the machine's own interpreter).
    """
    answers = run_checks([() if row.disabled else _version_checks(row) for row in versions], machine)
    return [_version_check(row, answer, machine) for row, answer in zip(versions, answers, strict=True)]


def _read(ref: str, distributions: Mapping[str, object], default_priority: int) -> Verification:
    verification = read_verification(distributions, default_priority=default_priority)
    for warning in verification.warnings:
        log.warning("%s: %s", ref, warning)
    return verification


def _runtime_check(runtime: Runtime, read: Verification, answer: Answer, machine: Machine) -> RuntimeCheck:
    if read.needs_no_check:
        return RuntimeCheck(True, "always available" if read.always_available else "no check required")
    if answer.check is not None:
        return RuntimeCheck(True, answer.reason)
    detected = machine.detected.get(language_of(runtime.name, runtime.ref))
    if runtime.auto_detected and detected is not None:
        return RuntimeCheck(True, f"detected: {detected.path}")
    return RuntimeCheck(False, answer.reason)


def _name(row: RuntimeVersion) -> str:
    return normalize_runtime_name(row.runtime_ref.rsplit(".", 1)[-1])


def _version_checks(row: RuntimeVersion) -> tuple[Check, ...]:
    checks = _read(f"{row.runtime_ref} {row.version}", row.distributions, VERSION_PRIORITY).checks
    binary = row.config.interpreter.binary
    if checks or not binary:
        return checks
    family = language_named(_name(row))
    return (Check(binary, family.version_arguments if family else ("--version",)),)


def _version_check(row: RuntimeVersion, answer: Answer, machine: Machine) -> VersionCheck:
    binary = row.config.interpreter.binary
    if row.disabled:
        return VersionCheck(row, False, "an operator switched it off (meta.disabled)")
    if not binary and not _version_checks(row):
        return VersionCheck(row, True, "needs no interpreter", Local(row.config, ""))
    # What a failed check has refuted, the mere text of a version doesn't make good again.
    same = None if answer.refuted else _same(row, machine.versions.get(_name(row), ()))
    if answer.check is None and same is None:
        return VersionCheck(row, False, answer.reason, refuted=answer.refuted)
    stand_in = same or _prover(row, answer.check, machine)
    local = localize(row.config, name=_name(row), detected=stand_in, find=machine.find)
    if local is None:
        return VersionCheck(row, False, f"{answer.reason}, but its interpreter {binary} isn't here")
    actual = _printed(row, answer) or (same.version if same else None)
    reason = answer.reason if answer.check or same is None else f"detected: {same.path} is {same.version}"
    return VersionCheck(row, True, reason, local, actual)


def _same(row: RuntimeVersion, detected: Sequence[DetectedInterpreter]) -> DetectedInterpreter | None:
    """The first detected interpreter that is of the row's version (promise: rows match by prefix)."""
    return next(
        (item for item in detected if item.version and matches_row(row.version, item.version, _name(row))), None
    )


def _prover(row: RuntimeVersion, check: Check | None, machine: Machine) -> DetectedInterpreter | None:
    """The program that proved the version, where it is an interpreter of this language (``node`` for ``node20``)."""
    family = language_named(_name(row))
    if check is None or family is None or check.binary.rsplit("/", 1)[-1] not in family.binaries:
        return None
    path = machine.find(check.binary)
    return None if path is None else DetectedInterpreter(_name(row), path)


def _printed(row: RuntimeVersion, answer: Answer) -> str | None:
    printed = parse_version_output(_name(row), answer.output)
    return printed if printed is not None and matches_row(row.version, printed, _name(row)) else None
