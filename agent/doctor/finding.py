"""What a check found: how bad it is, what was seen, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is: ``fail`` keeps the agent from working, ``warn`` only some of its work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``remedy`` is empty where nothing needs to be done."""

    check: str
    verdict: Severity
    detail: str
    remedy: str = ""


def fine(check: str, detail: str) -> Finding:
    """Everything is as it should be."""
    return Finding(check, Severity.OK, detail)


def warn(check: str, detail: str, remedy: str) -> Finding:
    """Some work will not succeed here."""
    return Finding(check, Severity.WARN, detail, remedy)


def fail(check: str, detail: str, remedy: str) -> Finding:
    """The agent can't work here."""
    return Finding(check, Severity.FAIL, detail, remedy)


def unknown(check: str, detail: str, remedy: str = "") -> Finding:
    """It can't be told from inside."""
    return Finding(check, Severity.UNKNOWN, detail, remedy)
