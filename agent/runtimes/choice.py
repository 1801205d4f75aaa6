"""Choose among the versions that this machine has, or say why none will do (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import UnmetConstraint, VersionError
from agent.runtimes.local import Local
from agent.runtimes.verification import VersionVerdict
from agent.versions import Constraint, Version, parse_constraint, parse_version, select_best_version


@dataclass(frozen=True)
class _Candidate:
    """A verified row; ``version`` is the text by which it is compared."""

    verdict: VersionVerdict
    version: str

    @property
    def is_default(self) -> bool:
        return self.verdict.row.is_default

    @property
    def available(self) -> bool:
        return self.verdict.available


def choose_version(
    verdicts: Sequence[VersionVerdict], constraint: str | None, *, base: Local | None, runtime: str
) -> VersionVerdict | None:
    """Return the row to run, None for the base configuration.

    Without a constraint the default row is taken, else the highest; with one, the highest that meets it, else the base
    interpreter if its own version does. ``runtime`` is its name for the message.

    Raises:
        UnmetConstraint: nothing here meets the constraint, or it is malformed (R4).
    """
    if constraint is None or not constraint.strip():
        chosen = select_best_version([_Candidate(verdict, verdict.row.version) for verdict in verdicts], None)
        return chosen.verdict if chosen else None
    try:
        wanted = parse_constraint(constraint)
    except VersionError as error:
        raise UnmetConstraint(f"the action's version constraint for {runtime} can't be read: {error}") from error
    candidates = [_Candidate(verdict, _compared(verdict, wanted)) for verdict in verdicts]
    chosen = select_best_version(candidates, constraint)
    if chosen is not None:
        return chosen.verdict
    if base is not None and _meets(base.version, wanted):
        return None
    raise UnmetConstraint(_unmet(verdicts, wanted, base, runtime))


def _compared(verdict: VersionVerdict, wanted: Constraint) -> str:
    """The version by which a row is compared: the interpreter's own where it is known.

    A row of ``3.12`` also answers for itself as long as the constraint isn't more precise than it: ``=3.12`` keeps
    its meaning (R1), ``<3.12.5`` is about the interpreter.
    """
    row = verdict.row.version
    if verdict.actual is None:
        return row
    precise_enough = wanted.precision <= len(row.split("."))
    return row if precise_enough and not _meets(verdict.actual, wanted) else verdict.actual


def _meets(version: str | None, wanted: Constraint) -> bool:
    parsed = _parsed(version)
    return parsed is not None and wanted.accepts(parsed)


def _parsed(version: str | None) -> Version | None:
    try:
        return None if version is None else parse_version(version)
    except VersionError:
        return None


def _unmet(verdicts: Sequence[VersionVerdict], wanted: Constraint, base: Local | None, runtime: str) -> str:
    here = [_found(verdict) for verdict in verdicts if verdict.available]
    missing = [f"{verdict.row.version} ({verdict.reason})" for verdict in verdicts if not verdict.available]
    if base is not None and base.interpreter:
        here.append(f"{base.version or 'an unknown version'} ({base.interpreter})")
    parts = [f"no version of {runtime} on this machine meets {wanted.text!r}"]
    parts.append(f"found: {', '.join(dict.fromkeys(here)) or 'none'}")
    if missing:
        parts.append(f"not here: {', '.join(missing)}")
    return "; ".join(parts)


def _found(verdict: VersionVerdict) -> str:
    version = verdict.actual or verdict.row.version
    interpreter = verdict.local.interpreter if verdict.local else ""
    return f"{version} ({interpreter})" if interpreter else version
