"""Run one command of a build; its failure is an error that tells step, command, outcome and last lines.

Promise: a failed installation is a failure.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.environments.backend import Backend, BuildSite
from agent.environments.model import EnvironmentRequest
from agent.errors import EnvironmentFailed
from agent.process.cancellation import CancellationToken
from agent.process.command import CommandOutcome, run_command
from agent.process.request import Ending
from agent.threads import ThreadGroup

#: Lines of an installer's output that an error carries.
LAST_LINES = 20
_POLL_SECONDS = 0.2
#: Maven and npm colour what they say even where nobody sees it.
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_CREDENTIALS = re.compile(r"(://)[^/\s@]+@")


@dataclass(frozen=True)
class Step:
    """One command: ``name`` is what errors call it, ``timeout`` is in seconds."""

    name: str
    command: Sequence[str]
    timeout: float
    env: Mapping[str, str]


def run_step(step: Step, site: BuildSite, backend: Backend) -> None:
    """Run ``step`` in the build's source directory, in a process group of its own.

    Raises:
        EnvironmentFailed: it did not exit with 0.
    """
    with _stopping(site.request) as stop:
        outcome = run_command(step.command, timeout=step.timeout, env=step.env, cwd=site.source, stop=stop)
    if outcome.succeeded:
        return
    lines = last_lines(outcome)
    what = {
        "exited": f"exited with {outcome.exit_code}" if outcome.exit_code != -1 else outcome.reason,
        "cancelled": "was cancelled",
    }.get(outcome.kind, outcome.reason)
    text = f"{site.request}: {step.name} failed: {shown(step.command)} {what}"
    remedy = backend.remedy(site, "\n".join([outcome.reason, *lines]))
    raise EnvironmentFailed(
        "\n".join([text, *([f"({remedy})"] if remedy else []), *lines]),
        step=step.name,
        cancelled=outcome.kind == "cancelled",
        hint=remedy,
    )


def last_lines(outcome: CommandOutcome) -> list[str]:
    """Return what the installer said at the end: its errors, and its output where the errors say little."""
    errors = _lines(outcome.stderr)[-LAST_LINES:]
    room = LAST_LINES - len(errors)
    return ([*_lines(outcome.stdout)[-room:], *errors]) if room > LAST_LINES // 2 else errors


def shown(command: Sequence[str]) -> str:
    """Return the command line for a reader: a program of several lines among its words would hide what was said."""
    words = (shlex.quote(word) if "\n" not in word.strip() else "<script>" for word in command)
    return hide_credentials(" ".join(words))


def hide_credentials(text: str) -> str:
    """Mask the user part of URLs: package indexes are often named with a token."""
    return _CREDENTIALS.sub(r"\1***@", text)


def _lines(data: bytes) -> list[str]:
    text = hide_credentials(_COLOURS.sub("", data.decode("utf-8", "replace")).replace("\0", ""))
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@contextlib.contextmanager
def _stopping(request: EnvironmentRequest) -> Iterator[CancellationToken]:
    """Lend the request's own way to stop, or one that asks ``cancelled`` a few times a second."""
    if request.stop is not None:
        yield request.stop
        return
    stop, over = CancellationToken(), threading.Event()
    watchers = ThreadGroup()
    watchers.start(f"watch-{request.dir_name}", _watch(request.cancelled, stop, over))
    try:
        yield stop
    finally:
        over.set()
        watchers.join(2 * _POLL_SECONDS)
        stop.close()


def _watch(cancelled: Callable[[], bool], stop: CancellationToken, over: threading.Event) -> Callable[[], None]:
    def watch() -> None:
        while not over.wait(_POLL_SECONDS):
            if cancelled():
                stop.cancel(Ending.CANCELLED)
                return

    return watch
