"""An agent as a real process, stopped by the signals that a container engine sends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class AgentProcess:
    """One life of one agent; ``worker_id`` is known once it is active, ``log_path`` holds what it wrote to stderr."""

    name: str
    process: subprocess.Popen[bytes]
    log_path: Path
    worker_id: int = 0

    @property
    def pid(self) -> int:
        """Process id of the agent."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def log(self) -> str:
        """Everything it has written to stderr."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def records(self, *, level: str | None = None) -> list[dict[str, Any]]:
        """Its log records, all or those of one level."""
        records = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [record for record in records if level is None or record["level"] == level]

    def wait_for_log(self, text: str, *, timeout: float = PATIENCE) -> None:
        """Wait until ``text`` appears in its log."""
        until(lambda: text in self.log(), f"logging {text!r}", timeout)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stop(self, timeout: float = PATIENCE) -> int:
        """Ask it to drain and leave (SIGTERM), wait, return its exit code."""
        if self.running:
            self.process.terminate()
        return self.wait(timeout)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(timeout)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait(10)


def spawn_agent(
    name: str,
    environment: Mapping[str, str],
    log_path: Path,
    *,
    user: int | None = None,
    full: bool = False,
    sensors: bool = False,
    through: Sequence[str] = (),
) -> AgentProcess:
    """Start ``python -m agent`` (or the full worker); as another ``user`` when the caller is root.

    ``sensors``: a sensor service instead.

    ``through`` is a command that starts the command which follows it, such as ``prlimit``.
    """
    program = [*through, sys.executable, "-m", "agent", *(["sensor"] if sensors else []), "--name", name]
    if full:
        entry = "sensor" if sensors else "worker"
        program = [sys.executable, "-c", f"from agent.cli.main import {entry}; {entry}()", "--name", name]
    if user is not None:
        program = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *program]
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            program, env=dict(environment), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    return AgentProcess(name, process, log_path)


def own_environment() -> dict[str, str]:
    """The environment of the tests without any setting of the agent."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ATTUNE")}
