"""This process's ``oom_score_adj`` (proc(5)): whom the kernel kills first, and what every child inherits.

A child can't drop it by clearing its environment, changing its title or leaving its group and session. So each slot
lends its jobs a value of its own: that marks them, and makes the kernel take a job before the agent.
"""

from __future__ import annotations

import contextlib
import os
import threading
from contextlib import AbstractContextManager

from agent.process.syscalls import write_at_start

#: What jobs get more than the agent, where there is room: far enough for the kernel to prefer them by any size.
_ABOVE_OURS = 200
_HIGHEST = 1000


class OomScore:
    """One per process. Until ``open`` was called, and where it failed, children simply inherit what there is."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._lock = threading.Lock()
        self._fd = -1
        self._own = 0

    def open(self) -> bool:
        """Get ready to lend values; False where there is no /proc, or one that can't be written.

        To be called before this process hides its memory: its files in /proc belong to root from then on.
        """
        if self._fd >= 0:
            return True
        try:
            fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            self._own = int(os.pread(fd, 16, 0))
            os.pwrite(fd, b"%d" % self._own, 0)
        except (OSError, ValueError):
            os.close(fd)
            return False
        self._fd = fd
        return True

    def close(self) -> None:
        """Lend nothing any more."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def values(self, count: int) -> list[int | None]:
        """Return a value for each of ``count`` slots, all different; None for those that find no room below 1000."""
        room = _HIGHEST - self._own
        if self._fd < 0 or room < 1:
            return [None] * count
        first = self._own + max(1, min(_ABOVE_OURS, room - count + 1))
        return [value if value <= _HIGHEST else None for value in range(first, first + count)]

    def inherited_as(self, value: int | None) -> AbstractContextManager[None]:
        """Let what is started in the block inherit ``value``, or this process's own where it is None.

        One block at a time, so it should be short: the value is the process's, not the thread's.
        """
        return _NOTHING_TO_DO if self._fd < 0 else _Lent(self, value)

    def lend(self, value: int | None) -> bool:
        """Take the value's place for one block; False where the own value stays. ``give_back`` follows."""
        self._lock.acquire()
        return value is not None and self._write(value)

    def give_back(self, lent: bool) -> None:
        """End the block that ``lend`` began."""
        try:
            if lent:
                self._write(self._own)
        finally:
            self._lock.release()

    def _write(self, value: int) -> bool:
        try:
            write_at_start(self._fd, b"%d" % value)
        except OSError:
            return False
        return True


class _Lent:
    """The block of ``inherited_as``: a generator for it costs more than what is done in it."""

    def __init__(self, score: OomScore, value: int | None) -> None:
        self._score = score
        self._value = value
        self._changed = False

    def __enter__(self) -> None:
        self._changed = self._score.lend(self._value)

    def __exit__(self, *_: object) -> None:
        self._score.give_back(self._changed)


_NOTHING_TO_DO = contextlib.nullcontext()


def oom_score_of(pid: int) -> int | None:
    """Return the value of a process, None when it has gone. Anybody may read it."""
    try:
        with open(f"/proc/{pid}/oom_score_adj", "rb", buffering=0) as file:
            return int(file.read(16))
    except (OSError, ValueError):
        return None


#: The value belongs to the process, not to an object.
OOM_SCORE = OomScore()
