"""Run several short commands side by side in one thread: the slowest decides how long it takes."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from agent.process.child_env import container_environment
from agent.process.children import CHILDREN
from agent.process.spawn import spawn

if TYPE_CHECKING:
    from agent.process.command import CommandOutcome

Kind = Literal["exited", "timed_out", "failed_to_start"]

#: Seconds that output is still read after a command has exited while a process that it left behind holds the pipe.
_DRAIN_SECONDS = 0.2
_CHUNK = 65536
#: How often the commands are asked for where pidfd_open(2) is missing (Linux before 5.3).
_POLL_WITHOUT_PIDFD = 0.02
#: poll(2) counts milliseconds in 32 bits; a limit may be longer than the 24 days that they hold.
_LONGEST_WAIT = 86_400.0


def run_commands(
    commands: Sequence[Sequence[str]],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    max_output: int = 65536,
) -> list[CommandOutcome]:
    """Start all ``commands`` at once, each in a process group of its own; return their outcomes in the same order.

    They read an empty standard input and have ``timeout`` seconds; then the whole group is killed. Of each stream the
    first ``max_output`` bytes are kept. ``env`` defaults to the container's own environment, ``cwd`` to ours. Never
    raises for what a command does.
    """
    environment = container_environment() if env is None else env
    poll = select.poll()
    runs = [_Command(argv, environment, timeout, max_output, poll, cwd) for argv in commands]
    # Imported now: the commands are running meanwhile, and ``--detect-only`` waits for nothing else.
    from agent.process.command import CommandOutcome

    by_fd = {fd: run for run in runs for fd in run.watched()}
    try:
        while waiting := [run for run in runs if not run.done]:
            for fd, _ in poll.poll(_milliseconds(waiting)):
                by_fd[fd].serve(fd)
            now = time.monotonic()
            for run in waiting:
                run.check(now)
    finally:
        for run in runs:
            run.finish()
    return [CommandOutcome(*run.outcome()) for run in runs]


def _milliseconds(waiting: Sequence[_Command]) -> float:
    now = time.monotonic()
    return min(_LONGEST_WAIT, max(0.0, min(run.due(now) for run in waiting) - now)) * 1000 + 1


class _Command:
    """One of them: started when made."""

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        timeout: float,
        limit: int,
        poll: select.poll,
        cwd: str | None,
    ) -> None:
        self._limit, self._poll = limit, poll
        self._started = time.monotonic()
        self._timeout = timeout
        self._streams: dict[int, bytearray] = {}
        self._captured = (bytearray(), bytearray())
        self._pid = self._pidfd = -1
        self._code: int | None = None
        self._ended_at: float | None = None
        self._timed_out = False
        self._problem = ""
        try:
            self._start(argv, env, cwd)
        except OSError as error:
            self._problem = f"can't start {argv[0]}: {error.strerror or error}"
            self._ended_at = time.monotonic()
            for fd in self._streams:
                os.close(fd)
            self._streams.clear()

    def _start(self, argv: Sequence[str], env: Mapping[str, str], cwd: str | None) -> None:
        with contextlib.ExitStack() as closing:
            nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            closing.callback(os.close, nothing)
            ends = []
            for captured in self._captured:
                ours, theirs = os.pipe2(os.O_CLOEXEC)
                closing.callback(os.close, theirs)
                self._streams[ours] = captured
                ends.append(theirs)
            self._pid = spawn(argv, env=env, cwd=cwd, stdin=nothing, stdout=ends[0], stderr=ends[1])
        with contextlib.suppress(OSError):
            self._pidfd = os.pidfd_open(self._pid)
        for fd in self.watched():
            self._poll.register(fd, select.POLLIN)

    def watched(self) -> list[int]:
        """The descriptors that tell of this command."""
        return [fd for fd in (*self._streams, self._pidfd) if fd >= 0]

    @property
    def done(self) -> bool:
        """Whether nothing more is to be waited for."""
        return self._ended_at is not None and not self._streams

    def due(self, now: float) -> float:
        """When to look again at the latest."""
        if self._ended_at is not None:
            return self._ended_at + _DRAIN_SECONDS
        end = self._started + self._timeout
        return end if self._pidfd >= 0 else min(end, now + _POLL_WITHOUT_PIDFD)

    def serve(self, fd: int) -> None:
        """Take what ``fd`` has."""
        if fd == self._pidfd:
            self._poll.unregister(fd)
            self._collect()
        elif fd in self._streams:
            data = os.read(fd, _CHUNK)
            captured = self._streams[fd]
            captured += data[: self._limit - len(captured)]
            if not data:
                self._close(fd)

    def check(self, now: float) -> None:
        """Kill what is out of time; stop reading what a left-behind process holds open."""
        if self._ended_at is None:
            if now >= self._started + self._timeout:
                self._timed_out = True
                self._ended_at = now
                self._kill()
            elif self._pidfd < 0:
                self._collect()
        elif now >= self._ended_at + _DRAIN_SECONDS:
            for fd in list(self._streams):
                self._close(fd)

    def _collect(self) -> None:
        """Note the exit; the child stays a zombie until ``finish`` so that its group's id is not given away."""
        flags = os.WEXITED | os.WNOWAIT | (0 if self._pidfd >= 0 else os.WNOHANG)
        status = os.waitid(os.P_PID, self._pid, flags)
        if status is not None:
            self._code = status.si_status if status.si_code == os.CLD_EXITED else -1
            self._ended_at = time.monotonic()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)

    def _close(self, fd: int) -> None:
        self._poll.unregister(fd)
        del self._streams[fd]
        os.close(fd)

    def finish(self) -> None:
        """Kill what is left of the group, collect the child and close what is open."""
        for fd in list(self._streams):
            self._close(fd)
        if self._pid < 0:
            return
        self._kill()
        self._wait()
        CHILDREN.release(self._pid)
        if self._pidfd >= 0:
            os.close(self._pidfd)

    def _wait(self) -> None:
        """Collect the child; one that not even a kill ends (it waits for a dead file server) is left to the reaper."""
        give_up = time.monotonic() + _DRAIN_SECONDS
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(self._pid, os.WNOHANG) == (0, 0) and time.monotonic() < give_up:
                time.sleep(0.001)

    def outcome(self) -> tuple[Kind, int | None, bytes, bytes, str, float]:
        """What became of it: the fields of a ``CommandOutcome``."""
        kind: Kind = "exited"
        reason = self._problem
        if self._pid < 0:
            kind = "failed_to_start"
        elif self._timed_out:
            kind, reason = "timed_out", f"did not end within {self._timeout:g} s"
        elif self._code == -1:
            reason = "ended by a signal"
        seconds = (self._ended_at or time.monotonic()) - self._started
        code = None if kind == "failed_to_start" else self._code if kind == "exited" else -1
        out, err = self._captured
        return kind, code, bytes(out), bytes(err), reason, seconds
