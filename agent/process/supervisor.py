"""Supervise one child from spawn to the last of its processes: input, output, time limit, interrupt, kill."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import select
import signal
import time
from collections.abc import Callable

from agent.backoff import Backoff
from agent.process import syscalls
from agent.process.cancellation import CancellationToken
from agent.process.children import CHILDREN
from agent.process.control_group import JOB_GROUPS
from agent.process.group import is_alone
from agent.process.job_limits import memory_of
from agent.process.orphans import kill_orphans
from agent.process.request import Ending, ProcessOutcome, ProcessRequest
from agent.process.spawn import spawn
from agent.process.start_failure import is_want, remedy, why_not_started

log = logging.getLogger(__name__)

#: Seconds that output is still read after the child has exited: a process that it left behind may hold the pipe
#: (promise: no process is left).
DRAIN_SECONDS = 2.0
CUT_SHORT_DRAIN_SECONDS = 0.2
#: Where pidfd_open(2) is missing (Linux before 5.3), how often the child is asked for.
_POLL_WITHOUT_PIDFD = 0.05
#: How often an interrupted group is looked at whose leader has gone: nothing tells when its last process ends.
_LOOK_AT_GROUP = 0.02
#: How often a job is looked at whose memory is limited.
_LOOK_AT_MEMORY = 0.1
#: poll(2) counts milliseconds in 32 bits, which are over after 24 days; limits may be longer.
_LONGEST_WAIT = 86_400.0
#: Seconds between two attempts to start a child for which this machine has no room.
_BACKOFF = Backoff(0.05, 1.0)


def run(request: ProcessRequest, stop: CancellationToken) -> ProcessOutcome:
    """Run one child to its end and leave none of its processes behind.

    Never raises for what the child does; a program that can't be started is ``Ending.SPAWN_FAILED`` with the reason.
    """
    started = time.monotonic()
    try:
        run_ = _started(request, stop)
    except (OSError, ValueError) as error:
        want = is_want(error)
        ending = (stop.cause if want else None) or Ending.SPAWN_FAILED
        return ProcessOutcome(
            ending, None, None, time.monotonic() - started, why_not_started(error, request), waited=want
        )
    try:
        run_.supervise()
        return run_.outcome()
    finally:
        run_.clean_up()


def _started(request: ProcessRequest, stop: CancellationToken) -> _Run:
    """Start the child; where this machine has no process or descriptor left, wait until it has.

    It is waited as long as the child might have run, or until somebody asks for its end.
    """
    give_up = None if request.timeout is None else time.monotonic() + request.timeout
    poll = select.poll()
    poll.register(stop.fileno(), select.POLLIN)
    attempt = 0
    while True:
        try:
            return _Run(request, stop, time.monotonic(), waited=attempt > 0)
        except OSError as error:
            over = stop.cause is not None or (give_up is not None and time.monotonic() >= give_up)
            if not is_want(error) or over:
                raise
            if attempt == 0:
                log.warning("waiting to start %s: %s", request.argv[0], remedy(error))
        poll.poll(_BACKOFF.pause(attempt) * 1000)
        attempt += 1


class _Run:
    """The state of one run; everything happens in the thread that made it."""

    def __init__(self, request: ProcessRequest, stop: CancellationToken, started: float, *, waited: bool) -> None:
        self._request = request
        self._waited = waited
        self._stop = stop
        self._started = started
        self._deadline = None if request.timeout is None else started + request.timeout
        self._ending: Ending | None = None
        self._kill_at: float | None = None
        self._drained_at = math.inf
        self._status: int | None = None
        self._killed = self._lingering = False
        self._reason = ""
        self._look_at = math.inf if request.limits.memory is None else started
        self._pending = memoryview(request.stdin)
        self._poll = select.poll()
        self._sinks: dict[int, Callable[[bytes], None]] = {}
        self._open: set[int] = set()
        self._stdin = -1
        self._pidfd = -1
        self._start()

    def _start(self) -> None:
        try:
            child_in, our_in = self._pipe()
            our_out, child_out = self._pipe()
            our_err, child_err = self._pipe()
            for fd in (our_in, our_out, our_err):
                syscalls.never_wait(fd)
            self._stdin = our_in
            self._write_stdin()
            self.pid = spawn(
                self._request.argv,
                env=self._request.env,
                cwd=self._request.cwd,
                stdin=child_in,
                stdout=child_out,
                stderr=child_err,
                score=None if self._request.mark is None else self._request.mark.score,
            )
        except BaseException:
            self._close_all()
            raise
        for fd in (child_in, child_out, child_err):
            self._close(fd)
        if self._request.limits.apply(self.pid, self._request.mark):
            self._look_at = math.inf  # the kernel looks
        if self._request.started is not None:
            self._request.started(self.pid)
        self._watch(our_out, our_err)

    def _pipe(self) -> tuple[int, int]:
        """Open a pipe whose ends are above the standard streams, whatever was closed when we were started."""
        first, second = syscalls.pipe()
        if first > 2 and second > 2:
            self._open.add(first)
            self._open.add(second)
            return first, second
        ends = []
        for fd in (first, second):
            self._open.add(fd)
            if fd < 3:
                moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
                self._open.add(moved)
                self._close(fd)
                fd = moved
            ends.append(fd)
        return ends[0], ends[1]

    def _close(self, fd: int) -> None:
        """Close a descriptor of this run, once: its number may belong to another run right afterwards."""
        self._open.discard(fd)
        syscalls.close(fd)

    def _close_all(self) -> None:
        while self._open:
            self._close(next(iter(self._open)))

    def _watch(self, out: int, err: int) -> None:
        self._sinks = {out: self._request.stdout, err: self._request.stderr}
        self._poll.register(out, select.POLLIN)
        self._poll.register(err, select.POLLIN)
        self._poll.register(self._stop.fileno(), select.POLLIN)
        if self._stdin >= 0:
            self._poll.register(self._stdin, select.POLLOUT)
        with contextlib.suppress(OSError):
            self._pidfd = os.pidfd_open(self.pid)
            self._open.add(self._pidfd)
            self._poll.register(self._pidfd, select.POLLIN)

    def supervise(self) -> None:
        """Serve the child until it has exited and its output has ended or was given up."""
        while self._status is None or self._sinks or self._lingering:
            now = time.monotonic()
            if self._obey_time(now):
                break
            for fd, _ in self._poll.poll(self._wait_ms(now)):
                if fd in self._sinks:
                    self._read(fd)
                elif fd == self._stdin:
                    self._feed()
                elif fd == self._pidfd:
                    self._poll.unregister(fd)
                    self._exited(wait=True)
                else:
                    self._poll.unregister(fd)
                    self._interrupt(self._stop.cause or Ending.CANCELLED)
            if self._status is None and (self._pidfd < 0 or not self._sinks):
                # Its output has ended, so it is about to be gone, if it isn't already: ask before waiting once more.
                self._exited(wait=False)

    def _obey_time(self, now: float) -> bool:
        """Act on whatever is due at ``now``; True when reading has been given up."""
        if self._lingering:
            return self._await_group(now)
        if self._status is not None:
            return now >= self._drained_at
        if now >= self._look_at:
            self._watch_memory(now)
        if self._kill_at is not None:
            if now >= self._kill_at:
                self._kill(now)
        elif self._deadline is not None and now >= self._deadline:
            self._interrupt(Ending.TIMEOUT)
        return False

    def _watch_memory(self, now: float) -> None:
        """Kill a job that uses more than it may: an interrupt would give it time to use still more."""
        limit = self._request.limits.memory
        assert limit is not None
        used = memory_of(self.pid, self._request.mark)
        if used <= limit:
            self._look_at = now + _LOOK_AT_MEMORY
            return
        self._look_at = math.inf
        self._ending = self._ending or Ending.OUT_OF_MEMORY
        self._reason = f"it used {used >> 20} MiB of memory, worker.limits.memory allows {limit >> 20} MiB"
        self._kill(now)

    def _kill(self, now: float) -> None:
        """Kill the group, and once more after the grace while it lives on."""
        self._killed = True
        self._signal(signal.SIGKILL)
        self._kill_at = now + self._request.grace

    def _await_group(self, now: float) -> bool:
        """After an interrupt: let the rest of the group have the whole grace; True when that is over."""
        assert self._kill_at is not None
        if now >= self._kill_at:
            return True
        if is_alone(self.pid):
            self._lingering = False
            self._drained_at = now + CUT_SHORT_DRAIN_SECONDS
        return False

    def _wait_ms(self, now: float) -> float | None:
        if self._lingering:
            return _LOOK_AT_GROUP * 1000
        due = self._drained_at
        if self._status is None:
            due = min(self._kill_at or self._deadline or math.inf, self._look_at)
        wait = None if due == math.inf else max(0.0, due - now)
        if self._pidfd < 0 and self._status is None:
            wait = min(wait or _POLL_WITHOUT_PIDFD, _POLL_WITHOUT_PIDFD)
        return None if wait is None else min(wait, _LONGEST_WAIT) * 1000 + 1

    def _interrupt(self, cause: Ending) -> None:
        if self._ending is None and self._status is None:
            self._ending = cause
            grace = self._request.grace if self._stop.grace is None else self._stop.grace
            self._kill_at = time.monotonic() + grace
            self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        # The leader has not been waited for yet, so its id still names this group, and itself.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(self.pid) != self.pid:  # it has gone to another group, which may be our own
                os.kill(self.pid, number)

    def _exited(self, *, wait: bool) -> None:
        """Note the exit without collecting the child: as a zombie it keeps the group's id from being given away."""
        end = syscalls.end_of_child(self.pid)
        if end is None and wait:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            end = syscalls.end_of_child(self.pid)
        if end is not None:
            self._status = -end.status if end.signalled else end.status
            patience = DRAIN_SECONDS if self._ending is None else CUT_SHORT_DRAIN_SECONDS
            self._drained_at = time.monotonic() + patience
            self._lingering = self._ending is not None and not self._killed

    def _read(self, fd: int) -> None:
        try:
            data = syscalls.read(fd)
        except BlockingIOError:
            return
        if data:
            self._sinks[fd](data)
        else:
            del self._sinks[fd]
            self._poll.unregister(fd)
            self._close(fd)

    def _write_stdin(self) -> None:
        """Write what the pipe takes; before the spawn that is usually all, and no further wake-up is needed."""
        try:
            while self._pending:
                self._pending = self._pending[syscalls.write(self._stdin, bytes(self._pending[: syscalls.CHUNK])) :]
        except BlockingIOError:
            return
        self._close(self._stdin)
        self._stdin = -1

    def _feed(self) -> None:
        fd = self._stdin
        try:
            self._write_stdin()
        except BrokenPipeError:
            # A child need not read its input; whether it succeeded is for its exit code to say.
            self._close(fd)
            self._stdin = -1
        if self._stdin < 0:
            self._poll.unregister(fd)

    def clean_up(self) -> None:
        """Kill what is left of the group, collect the child, close the pipes, then hunt those who left the group."""
        self._signal(signal.SIGKILL)
        # As long as it is not collected its id can't be another child's, so it is safe to forget it before.
        CHILDREN.release(self.pid)
        with contextlib.suppress(ChildProcessError):
            if self._status is None or not syscalls.collect_child(self.pid):
                os.waitpid(self.pid, 0)
        self._close_all()
        self._sinks = {}
        if self._request.mark is not None:
            kill_orphans(self._request.mark)
        JOB_GROUPS.end(self.pid)

    def outcome(self) -> ProcessOutcome:
        """Say how it ended; a cause that we brought about outranks the signal by which it showed."""
        assert self._status is not None
        seconds = time.monotonic() - self._started
        code = self._status if self._status >= 0 else None
        number = -self._status if self._status < 0 else None
        ending = self._ending or (Ending.EXIT if number is None else Ending.SIGNAL)
        reason = self._reason if ending is Ending.OUT_OF_MEMORY else ""
        if ending in (Ending.EXIT, Ending.SIGNAL) and code != 0:
            ending, reason = self._limit_that_ended_it(ending)
        return ProcessOutcome(ending, code, number, seconds, reason, self._waited)

    def _limit_that_ended_it(self, ending: Ending) -> tuple[Ending, str]:
        """Say which of the limits that the kernel keeps was reached; ``ending`` and no words where none was."""
        limits = self._request.limits
        if limits.memory is not None and JOB_GROUPS.ran_out_of_memory(self.pid):
            return Ending.OUT_OF_MEMORY, f"it needed more memory, worker.limits.memory allows {limits.memory >> 20} MiB"
        if JOB_GROUPS.was_full(self.pid):
            return ending, f"Execution was refused another process: worker.limits.processes allows {limits.processes}"
        return ending, ""
