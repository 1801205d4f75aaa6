"""A real agent or server beside this command: started, watched, stopped as a service manager would."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from agent.errors import AgentError
from agent.process.cancellation import CancellationToken
from agent.process.child_env import container_environment
from agent.process.request import Ending, ProcessOutcome, ProcessRequest
from agent.process.supervisor import run
from agent.threads import ThreadGroup

_DRAIN = 20.0


# Asks the kernel for SIGTERM when the one who started it is gone: a killed command leaves neither of them behind.
_WITH_PARENT = "import ctypes; ctypes.CDLL(None).prctl(1, 15); "
_AGENT = _WITH_PARENT + "from agent.cli.main import agent; agent()"
_ENTRIES = {
    "agent": _AGENT,
    "sensors": _AGENT,
    "server": _WITH_PARENT + "from agent.cli.operator import main; main()",
    "up": "from agent.cli.operator import main; main()",
}


def entry(name: str) -> str:
    """Return the Python text that starts a program: of this installation, whatever is on PATH."""
    return _ENTRIES[name]


class ChildProcess:
    """One running program; its log is kept in a file."""

    def __init__(self, name: str, words: list[str], log_path: Path) -> None:
        """Prepare ``agent``, ``sensors`` or ``server``, with what follows on its command line; nothing is started."""
        self._name = name
        self._words = words
        self._log_path = log_path
        self._stop = CancellationToken()
        self._over = threading.Event()
        self._outcome: ProcessOutcome | None = None
        self._threads = ThreadGroup()

    @classmethod
    def agent(cls, config: Path, log_path: Path) -> ChildProcess:
        """Prepare an agent with the settings of one file."""
        return cls("agent", ["--config", str(config)], log_path)

    @classmethod
    def sensors(cls, config: Path, log_path: Path) -> ChildProcess:
        """Prepare a sensor service with the settings of one file."""
        return cls("sensors", ["sensor", "--config", str(config)], log_path)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it for the length of the block; then ask it to drain, and kill it when it doesn't."""
        self._threads.start(f"child-{self._name}", self._supervise)
        try:
            yield
        finally:
            self._stop.cancel(Ending.SHUTDOWN)
            self._over.wait(_DRAIN + 10)
            self._threads.join(5)
            self._stop.close()

    def check(self) -> None:
        """Raise when it has ended by itself.

        Raises:
            AgentError: with the last lines of its log.
        """
        if self._over.is_set():
            reason = self._outcome.reason or f"exit code {self._outcome.exit_code}" if self._outcome else "unknown"
            raise AgentError(f"the {self._name} exited early ({reason}):\n" + "\n".join(self.last_lines()))

    def last_lines(self, count: int = 15) -> list[str]:
        """Return the end of its log."""
        with contextlib.suppress(OSError):
            return self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
        return []

    def _supervise(self) -> None:
        try:
            with open(self._log_path, "ab", buffering=0, opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
                os.fchmod(log.fileno(), 0o600)

                def keep(data: bytes) -> None:
                    log.write(data)

                self._outcome = run(
                    ProcessRequest(
                        argv=[sys.executable, "-P", "-c", _ENTRIES[self._name], *self._words],
                        env=_environment(),
                        cwd=None,
                        stdin=b"",
                        timeout=None,
                        stdout=keep,
                        stderr=keep,
                        grace=_DRAIN,
                    ),
                    self._stop,
                )
        finally:
            self._over.set()


def _environment() -> dict[str, str]:
    """The caller's environment without anything that configures Attune: it is the same everywhere."""
    return {name: value for name, value in container_environment().items() if not name.startswith("ATTUNE")}
