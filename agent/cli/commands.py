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


def _doctor(words: list[str]) -> int:
    from agent.cli.doctor import doctor

    return doctor(words)


def _health(words: list[str]) -> int:
    from agent.cli.health import health

    return health(words)


def _sensor(words: list[str]) -> int:
    from agent.cli.sensor_service import agent_sensor

    return agent_sensor(words)


def _timer(words: list[str]) -> int:
    from agent.cli.timer import timer

    return timer(words)


def _install(words: list[str]) -> int:
    raise UsageError("only the one-file agent installs itself", hint="build it: make build-agent")


# Each ``run`` imports its module when it is called: ``--detect-only`` must not pay for ``doctor``.
# The one-file agent's launcher answers ``install`` and ``health`` itself.
COMMANDS: dict[str, Command] = {
    "install": Command("DIR [--verify]: put this program, unpacked and ready, into DIR", _install),
    "doctor": Command("[--json]: check this container and say what is wrong and what to do", _doctor),
    "sensor": Command("run the sensors of packs that rules need; --help says more", _sensor),
    "timer": Command("the timer sensor; takes everything from its environment", _timer),
    "health": Command("[--live]: exit 0 while the agent of this container is ready (live)", _health),
}


def run_command(name: str, words: list[str]) -> int:
    """Run one command of the table.

    Raises:
        UsageError: there is no such command.
    """
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        raise UsageError(f"unknown command {name}", hint=f"did you mean {close[0]}?" if close else "see --help")
    return COMMANDS[name].run(words)
