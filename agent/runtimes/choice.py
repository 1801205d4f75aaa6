"""Choose among the versions that this machine has, or say why none will do (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import UnmetConstraint, VersionError
from agent.runtimes.local import Local
from agent.runtimes.verification import VersionCheck
from agent.versions import Constraint, matches_row, parse_constraint, parse_version, select_best_version


@dataclass(frozen=True)
class _Candidate:
    """A verified row; ``version`` is the text by which it is compared."""

    check: VersionCheck
    version: str

    @property
    def is_default(self) -> bool:
        return self.check.row.is_default

    @property
    def available(self) -> bool:
        return self.check.available


def choose_version(
    checks: Sequence[VersionCheck],
    constraint: str | None,
    *,
    base: Local | None,
    runtime: str,
    language: str | None = None,
) -> VersionCheck | None:
    """Return the row to run, None for the base configuration.

    Without a constraint the default row is taken, else the highest that a pack lists; with one, the highest that meets
    it, else the base interpreter if its own version does. ``runtime`` is its name for the message, ``language`` the
    canonical one.

    Raises:
        UnmetConstraint: nothing here meets the constraint, or it is malformed (promise: no other version runs).
    """
    if constraint is None or not constraint.strip():
        # What an agent merely found stands back where the runtime itself can be run: it decides for nobody.
        own = [check for check in checks if base is None or not check.row.auto_detected]
        chosen = select_best_version([_Candidate(check, check.row.version) for check in own], None, language)
        return chosen.check if chosen else None
    try:
        wanted = parse_constraint(constraint, language)
    except VersionError as error:
        raise UnmetConstraint(f"the action's version constraint for {runtime} can't be read: {error}") from error
    candidates = [_Candidate(check, _compared(check, wanted, language)) for check in checks]
    chosen = select_best_version(candidates, constraint, language)
    if chosen is not None:
        return chosen.check
    if base is not None and _meets(base.version, wanted, language) and not _refuted(checks, base, language):
        return None
    raise UnmetConstraint(_unmet(checks, wanted, base, runtime))


def _refuted(checks: Sequence[VersionCheck], base: Local, language: str | None) -> bool:
    """Whether the check of the base interpreter's very version has failed: its text doesn't make that good again."""
    return any(check.refuted and matches_row(check.row.version, base.version or "", language) for check in checks)


def why_not(check: VersionCheck, constraint: str | None, chosen: VersionCheck | None, language: str | None) -> str:
    """Say why a row was not taken, in the words of a failed execution."""
    if not check.available:
        return f"not here: {check.reason}"
    if constraint and constraint.strip():
        try:
            wanted = parse_constraint(constraint, language)
        except VersionError as error:
            return str(error)
        if not _meets(_compared(check, wanted, language), wanted, language):
            return f"{check.actual or check.row.version} doesn't meet {wanted.text!r}"
        return f"{chosen.row.version} is higher" if chosen is not None else "another one was taken"
    if chosen is None:
        return "an agent found it by itself: without a constraint the runtime's own definition counts"
    return f"{chosen.row.version} is the default" if chosen.row.is_default else f"{chosen.row.version} is higher"


def _compared(check: VersionCheck, wanted: Constraint, language: str | None) -> str:
    """The version by which a row is compared: the interpreter's own where it is known.

    A row of ``3.12`` also answers for itself as long as the constraint isn't more precise than it: ``=3.12`` keeps
    its meaning (promise: constraints keep their meaning), ``<3.12.5`` is about the interpreter.
    """
    row = check.row.version
    if check.actual is None:
        return row
    precise_enough = wanted.precision <= len(row.split("."))
    return row if precise_enough and not _meets(check.actual, wanted, language) else check.actual


def _meets(version: str | None, wanted: Constraint, language: str | None) -> bool:
    try:
        return version is not None and wanted.accepts(parse_version(version, language))
    except VersionError:
        return False


def _unmet(checks: Sequence[VersionCheck], wanted: Constraint, base: Local | None, runtime: str) -> str:
    here = [_found(check) for check in checks if check.available]
    missing = [f"{check.row.version} ({check.reason})" for check in checks if not check.available]
    if base is not None and base.interpreter:
        here.append(f"{base.version or 'an unknown version'} ({base.interpreter})")
    parts = [f"no version of {runtime} on this machine meets {wanted.text!r}"]
    parts.append(f"found: {', '.join(dict.fromkeys(here)) or 'none'}")
    if missing:
        parts.append(f"not here: {', '.join(missing)}")
    return "; ".join(parts)


def _found(check: VersionCheck) -> str:
    version = check.actual or check.row.version
    interpreter = check.local.interpreter if check.local else ""
    return f"{version} ({interpreter})" if interpreter else version
