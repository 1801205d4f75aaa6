"""What to run and what became of it: the values that go into the runner and come out of it (pure)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.process.job_limits import NO_LIMITS, JobLimits
from agent.process.job_mark import JobMark


class Ending(StrEnum):
    """Why a child process is no longer running."""

    EXIT = "exit"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    SHUTDOWN = "shutdown"
    OUT_OF_MEMORY = "out_of_memory"
    SPAWN_FAILED = "spawn_failed"


@dataclass(frozen=True, slots=True)
class ProcessRequest:
    """One child to run.

    ``timeout`` is in seconds from the spawn, None means no limit. ``stdout`` and ``stderr`` receive each chunk as it
    arrives. ``mark`` is that by which processes that the child leaves behind are recognised. ``started`` is told the
    process id once the child runs, in the thread that runs it; it must not raise.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str | None
    stdin: bytes
    timeout: float | None
    stdout: Callable[[bytes], None]
    stderr: Callable[[bytes], None]
    mark: JobMark | None = None
    grace: float = 5.0
    limits: JobLimits = NO_LIMITS
    started: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True)
class ProcessOutcome:
    """What became of a child: ``exit_code`` is None unless it exited by itself, ``signal`` unless one ended it.

    ``waited`` says that this machine had no room for it at first: a limit of processes, descriptors or memory.
    """

    ending: Ending
    exit_code: int | None
    signal: int | None
    seconds: float
    reason: str = ""
    waited: bool = False
