"""How soon `attune up` is ready: with nothing there, and on what an earlier run left."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.command import ROOT

_ATTUNE = [sys.executable, "-c", "from agent.cli.operator import main; main()"]


@dataclass(frozen=True)
class UpTime:
    """Seconds until the command says that everything is ready."""

    first: float
    again: float


def up_seconds() -> UpTime:
    """Start it in an empty directory, stop it, start it again."""
    with tempfile.TemporaryDirectory(prefix="attune-up-bench-") as name:
        Path(name).chmod(0o755)
        first = _start(name)
        _run("down", name)
        again = _start(name)
        _run("down", name)
    return UpTime(first, again)


def _start(directory: str) -> float:
    began = time.perf_counter()
    _run("up", directory, "--detach", "--port", "0")
    return time.perf_counter() - began


def _run(command: str, directory: str, *words: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATTUNE")}
    subprocess.run(
        [*_ATTUNE, command, "--directory", f"{directory}/site", *words],
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
