"""Run several short commands side by side: the slowest decides how long it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from agent.errors import MachineTooSmall
from agent.process.child_env import container_environment
from agent.process.command import CommandOutcome, run_command
from agent.threads import ThreadGroup

#: Seconds beyond the limit after which a command is given up that not even a kill ends: it waits for a dead file
#: server. Its thread collects it should it ever end.
_GIVE_UP_SECONDS = 5.0


def run_commands(
    commands: Sequence[Sequence[str]],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    max_output: int = 65536,
) -> list[CommandOutcome]:
    """Start all ``commands`` at once, each in a process group of its own; return their outcomes in the same order.

    Where there is no room for so many processes or threads, those that did not end are run again, one after another:
    what one of them lacked, or waited for, the others had.

    They read an empty standard input and have ``timeout`` seconds; then the whole group is killed. Of each stream the
    last ``max_output`` bytes are kept. ``env`` defaults to the container's own environment, ``cwd`` to ours. Never
    raises for what a command does.
    """
    environment = container_environment() if env is None else env
    outcomes: dict[int, CommandOutcome] = {}
    unstarted: list[int] = []

    def run_one(number: int) -> None:
        outcomes[number] = run_command(
            commands[number], timeout=timeout, env=environment, cwd=cwd, max_output=max_output, grace=0.0
        )

    threads = ThreadGroup()
    for number in range(len(commands)):
        try:
            threads.start(f"command-{number + 1}", partial(run_one, number))
        except MachineTooSmall:
            unstarted.append(number)
    threads.join(timeout + _GIVE_UP_SECONDS)
    ended = dict(outcomes)
    if unstarted or any(outcome.waited for outcome in ended.values()):
        for number in [*unstarted, *(number for number, outcome in ended.items() if not outcome.succeeded)]:
            run_one(number)
    given_up = CommandOutcome("timed_out", -1, b"", b"", f"can't be ended after {timeout:g} s", timeout)
    return [outcomes.get(number, given_up) for number in range(len(commands))]
