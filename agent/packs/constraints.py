"""Reads version constraints and what a worker must have besides the runtime."""

from __future__ import annotations

from collections.abc import Mapping

from agent.errors import VersionError
from agent.packs.fields import Fields
from agent.versions import parse_constraint


def read_constraint(fields: Fields) -> str | None:
    """Read ``runtime_version``; None means any version."""
    constraint = fields.text("runtime_version", "runtime_version_constraint")
    if constraint is None or not constraint.strip():
        return None
    wrong = _wrong(constraint)
    if wrong:
        fields.complain("runtime_version", wrong)
    return constraint.strip()


def read_required_runtimes(fields: Fields) -> Mapping[str, str]:
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
        required[name] = constraint.strip()
    return required


def _wrong(constraint: str) -> str | None:
    try:
        parse_constraint(constraint)
    except VersionError as error:
        return str(error)
    return None
