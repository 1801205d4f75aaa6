"""Reads version constraints and what a worker must have besides the runtime."""

from __future__ import annotations

from collections.abc import Mapping

from agent.errors import VersionError
from agent.packs.mapping_reader import MappingReader
from agent.versions import parse_constraint

#: A constraint in another tool's dialect works with our programs alone.
_ONLY_OURS = (
    "is understood by this server and its workers only: Attune's own executor fails the action; "
    "where it runs too, write comparisons with = > >= < <= ~ ^ and commas"
)


def read_constraint(fields: MappingReader) -> str | None:
    """Read ``runtime_version``; None means any version."""
    constraint = fields.text("runtime_version", "runtime_version_constraint")
    if constraint is None or not constraint.strip():
        return None
    wrong = _wrong(constraint)
    if wrong:
        fields.complain("runtime_version", wrong)
    elif not parse_constraint(constraint).portable:
        fields.warn("runtime_version", _ONLY_OURS)
    return constraint.strip()


def read_required_runtimes(fields: MappingReader) -> Mapping[str, str]:
    """Read ``required_worker_runtimes``: a runtime's name or alias with a constraint, ``*`` for any version."""
    section = fields.section("required_worker_runtimes")
    required = {}
    for name in section.names() if section else ():
        constraint = section.text(name) if section else None
        if section is None or constraint is None:
            continue
        wrong = None if constraint.strip() == "*" else _wrong(constraint)
        if wrong:
            section.complain(name, wrong)
        elif constraint.strip() != "*" and not parse_constraint(constraint).portable:
            section.warn(name, _ONLY_OURS)
        required[name] = constraint.strip()
    return required


def _wrong(constraint: str) -> str | None:
    try:
        parse_constraint(constraint)
    except VersionError as error:
        return str(error)
    return None
