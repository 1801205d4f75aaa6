"""The limit of open files (getrlimit(2)): ours is raised as far as the slots need it, children keep what was given."""

from __future__ import annotations

import contextlib
import resource
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

#: Descriptors of connections, logs and the program itself; and those of one job: pipes, its process, its log files.
_AGENT, _SLOT = 128, 12
#: As many may be opened by other threads while the limit is lowered for a moment.
_MARGIN = 64
_NOTHING_TO_DO = contextlib.nullcontext()


class OpenFiles:
    """One per process."""

    def __init__(self) -> None:
        """Change nothing yet."""
        self._lock = threading.Lock()
        self._given: tuple[int, int] | None = None

    def raise_for(self, slots: int) -> int:
        """Make room for so many jobs at a time; return how many files may be open now."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = min(_AGENT + _SLOT * slots, hard if hard != resource.RLIM_INFINITY else 1 << 30)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return soft
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        self._given = (soft, hard)
        return wanted

    def as_given(self, highest: int) -> AbstractContextManager[None]:
        """Let what is started in the block have the limit that this process was given.

        ``highest`` is a descriptor of ours, one of the highest: while it leaves room below the given limit, ours is
        lowered for the length of the block. Else the child is given its limit afterwards, by ``give``.
        """
        if self._given is None or highest + _MARGIN >= self._given[0]:
            return _NOTHING_TO_DO
        return self._lowered(self._given)

    @contextlib.contextmanager
    def _lowered(self, given: tuple[int, int]) -> Iterator[None]:
        with self._lock:
            ours = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, given)
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, ours)

    def give(self, pid: int) -> None:
        """Give a child that was just started the limit that this process was given."""
        if self._given is not None:
            with contextlib.suppress(OSError):  # it has gone, or has changed its user
                resource.prlimit(pid, resource.RLIMIT_NOFILE, self._given)


#: The limit belongs to the process, not to an object.
OPEN_FILES = OpenFiles()
