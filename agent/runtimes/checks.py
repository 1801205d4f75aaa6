"""Verification metadata: the commands by which a machine shows that it has a runtime or a version (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.runtimes.typed_json import Section

#: Where a command names no priority; the reference differs between runtimes and versions.
RUNTIME_PRIORITY = 999
VERSION_PRIORITY = 100


@dataclass(frozen=True)
class Check:
    """One command: it succeeds when it exits with ``exit_code`` and prints what ``pattern`` finds.

    ``optional`` only says that a failure isn't worth a line in the log.
    """

    binary: str
    args: tuple[str, ...] = ()
    exit_code: int = 0
    pattern: str | None = None
    priority: int = RUNTIME_PRIORITY
    optional: bool = False

    def __str__(self) -> str:
        """As it would be typed."""
        return " ".join((self.binary, *self.args))


@dataclass(frozen=True)
class Verification:
    """``distributions.verification``; ``checks`` are in the order of their priority."""

    checks: tuple[Check, ...] = ()
    always_available: bool = False
    check_required: bool = True
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def needs_no_check(self) -> bool:
        """Whether the runtime counts as available without looking."""
        return self.always_available or not self.check_required


def read_verification(distributions: Mapping[str, Any], *, default_priority: int) -> Verification:
    """Read the metadata; what is malformed becomes a warning and no check, so that it never counts as success."""
    verification = distributions.get("verification")
    if not isinstance(verification, Mapping):
        warnings = () if verification is None else ("verification must be an object",)
        return Verification(warnings=warnings)
    commands = verification.get("commands")
    problems = [] if commands is None or isinstance(commands, list) else ["verification.commands must be a list"]
    checks = []
    for index, command in enumerate(commands if isinstance(commands, list) else []):
        try:
            checks.append(_check(Section(command, f"verification.commands[{index}]"), default_priority))
        except ValueError as error:
            problems.append(str(error))
    return Verification(
        checks=tuple(sorted(checks, key=lambda check: check.priority)),
        always_available=verification.get("always_available") is True,
        check_required=verification.get("check_required") is not False,
        warnings=tuple(problems),
    )


def _check(command: Section, default_priority: int) -> Check:
    args = command.items("args") or []
    return Check(
        binary=command.nonblank("binary"),
        args=tuple(arg for arg in args if isinstance(arg, str)),
        exit_code=command.number("exit_code", 0),
        pattern=command.optional_text("pattern"),
        priority=command.number("priority", default_priority),
        optional=command.flag("optional"),
    )
