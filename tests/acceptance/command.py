"""Runs the project's commands as a user does: a process, words, an environment; text and an exit code come back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]

_ENTRIES = {
    "attune": "from agent.cli.operator import main; main()",
    "attune-agent": "from agent.cli.main import agent; agent()",
    "attune-worker": "from agent.cli.main import worker; worker()",
}


def argv(program: str, *words: str) -> list[str]:
    """Return how to start a command of this source tree, whether or not it is installed."""
    return [sys.executable, "-c", _ENTRIES[program], *words]


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the caller's environment without Attune's settings, with ``settings``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ATTUNE")}
    return {**kept, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": "/nonexistent", **(settings or {})}


def run(
    program: str, *words: str, settings: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        argv(program, *words),
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env=environment(settings),
        stdin=subprocess.DEVNULL,
        check=False,
    )


def prepare(settings: Mapping[str, str], *packs: Path) -> None:
    """Migrate the database of ``settings`` and register ``packs``, with the commands, as in the documentation."""
    for words in (["db", "migrate"], *(["pack", "register", str(pack)] for pack in packs)):
        done = run("attune", *words, settings=settings)
        assert done.returncode == 0, done.stderr


@contextmanager
def running(
    program: str, *words: str, settings: Mapping[str, str] | None = None, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a service for the length of the block; its output goes to ``log``."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv(program, *words), env=environment(settings), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(40)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(10)
