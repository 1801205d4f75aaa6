"""The children that this program started itself and will wait for; all else that dies here is an orphan's zombie."""

from __future__ import annotations

import threading


class Children:
    """A registry of our own child processes, shared by everything that spawns and by the reaper.

    A reaper may only collect a zombie that is not ours. A child can die before its id is known here, so a reaper that
    found a zombie checks in this order: nothing is ``starting``, then the id is not ``mine``.
    """

    def __init__(self) -> None:
        """Start with no child."""
        self._lock = threading.Lock()
        self._starting = 0
        self._pids: set[int] = set()

    def starting(self) -> Children:
        """Hold while spawning, as a context; add the new id to the yielded set before leaving."""
        return self

    def __enter__(self) -> set[int]:
        with self._lock:
            self._starting += 1
        return self._pids

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._starting -= 1

    @property
    def quiet(self) -> bool:
        """Whether no spawn is under way."""
        return self._starting == 0

    def mine(self, pid: int) -> bool:
        """Whether somebody here waits for this process."""
        return pid in self._pids

    def release(self, pid: int) -> None:
        """Forget a child that was waited for."""
        self._pids.discard(pid)


#: One registry per process: process ids are a property of the process, not of an object.
CHILDREN = Children()
