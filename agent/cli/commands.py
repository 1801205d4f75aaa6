"""The commands of ``attune-agent`` beside running: an explicit table, so that a frozen program misses none."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from agent.errors import UsageError


@dataclass(frozen=True)
class Command:
    """One word after ``attune-agent``: ``run`` takes the words behind it and returns the exit code."""

    summary: str
    run: Callable[[list[str]], int]


# Each ``run`` imports its module when it is called: ``--detect-only`` must not pay for ``doctor``.
COMMANDS: dict[str, Command] = {}


def run_command(name: str, words: list[str]) -> int:
    """Run one command of the table.

    Raises:
        UsageError: there is no such command.
    """
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        raise UsageError(f"unknown command {name}", hint=f"did you mean {close[0]}?" if close else "see --help")
    return COMMANDS[name].run(words)
