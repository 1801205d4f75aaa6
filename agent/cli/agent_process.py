"""A real ``attune-agent`` beside this command, for the demo: started, watched, stopped with its drain."""

from __future__ import annotations

import contextlib
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


class AgentProcess:
    """One running agent; its log is kept in a file."""

    def __init__(self, config: Path, log_path: Path) -> None:
        """Prepare; nothing is started yet."""
        self._config = config
        self._log_path = log_path
        self._stop = CancellationToken()
        self._over = threading.Event()
        self._outcome: ProcessOutcome | None = None
        self._threads = ThreadGroup()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it for the length of the block; then ask it to drain, and kill it when it doesn't."""
        self._threads.start("demo-agent", self._supervise)
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
            raise AgentError(f"the agent exited early ({reason}):\n" + "\n".join(self.last_lines()))

    def last_lines(self, count: int = 15) -> list[str]:
        """Return the end of its log."""
        with contextlib.suppress(OSError):
            return self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
        return []

    def _supervise(self) -> None:
        try:
            with self._log_path.open("ab", buffering=0) as log:

                def keep(data: bytes) -> None:
                    log.write(data)

                self._outcome = run(
                    ProcessRequest(
                        argv=[sys.executable, "-P", "-m", "agent", "--config", str(self._config)],
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
    """The caller's environment without anything that configures Attune: the demo is the same everywhere."""
    return {name: value for name, value in container_environment().items() if not name.startswith("ATTUNE")}
