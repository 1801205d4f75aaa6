"""Run a short helper command (a version probe, an installer) to its end, with a time limit and a bounded capture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agent.process.cancellation import CancellationToken
from agent.process.child_env import container_environment
from agent.process.request import Ending, ProcessRequest
from agent.process.supervisor import run

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """What became of a command; ``exit_code`` is -1 when a signal ended it and None when it never started.

    ``waited`` says that this machine had no room for it at first: a limit of processes, descriptors or memory.
    """

    kind: Literal["exited", "timed_out", "failed_to_start", "cancelled"]
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    reason: str
    seconds: float
    waited: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether it exited with 0."""
        return self.kind == "exited" and self.exit_code == 0


class _Tail:
    """Keeps the last bytes of a stream: an installer says at the end what went wrong."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > 2 * self._limit:
            del self._data[: -self._limit]

    def last(self) -> bytes:
        return bytes(self._data[-self._limit :])


def run_command(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    max_output: int = 65536,
    stdin: bytes = b"",
    stop: CancellationToken | None = None,
    grace: float = 1.0,
) -> CommandOutcome:
    """Run ``argv`` in a process group of its own and wait for it.

    ``timeout`` and ``grace`` (between interrupt and kill) are seconds; ``env`` defaults to the container's own
    environment; of each stream the last ``max_output`` bytes are kept. ``stop`` lets another thread end it.
    Never raises for what the command does.
    """
    out, err = _Tail(max_output), _Tail(max_output)
    request = ProcessRequest(
        argv=argv,
        env=container_environment() if env is None else env,
        cwd=None if cwd is None else str(cwd),
        stdin=stdin,
        timeout=timeout,
        stdout=out.feed,
        stderr=err.feed,
        grace=grace,
    )
    own = stop if stop is not None else CancellationToken()
    try:
        outcome = run(request, own)
    finally:
        if stop is None:
            own.close()
    kind, reason = _KINDS[outcome.ending], outcome.reason
    if outcome.ending is Ending.TIMEOUT:
        reason = f"did not end within {timeout:g} s"
    elif outcome.ending is Ending.SIGNAL:
        reason = f"ended by signal {outcome.signal}"
    code = None if kind == "failed_to_start" else -1 if outcome.exit_code is None else outcome.exit_code
    return CommandOutcome(kind, code, out.last(), err.last(), reason, outcome.seconds, outcome.waited)


_KINDS: Mapping[Ending, Literal["exited", "timed_out", "failed_to_start", "cancelled"]] = {
    Ending.EXIT: "exited",
    Ending.SIGNAL: "exited",
    Ending.TIMEOUT: "timed_out",
    Ending.CANCELLED: "cancelled",
    Ending.SHUTDOWN: "cancelled",
    Ending.SPAWN_FAILED: "failed_to_start",
}
