"""Collect zombies that nobody else here waits for: orphans, which PID 1 and a child subreaper inherit."""

from __future__ import annotations

import os
import threading

from agent.counters import COUNTERS
from agent.process.children import CHILDREN, Children
from agent.process.orphans import inherited

#: Half of the time within which a zombie shall be gone.
_INTERVAL = 0.05
#: The same for one that has no child: nothing can die here then, and an idle agent shall cost nothing.
_CHILDLESS_INTERVAL = 1.0
#: For waitid(2): say at once who has ended, and collect nobody.
_LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT


class Reaper:
    """The body of the reaper thread; it looks without collecting first, so that no status of our own is ever taken."""

    def __init__(self, children: Children = CHILDREN) -> None:
        """Leave alone what ``children`` names."""
        self._children = children
        self._stop = threading.Event()

    def run(self) -> None:
        """Reap until ``stop``."""
        while not self._stop.wait(_INTERVAL if _may_inherit() else _CHILDLESS_INTERVAL):
            self.reap()

    def stop(self) -> None:
        """End ``run``."""
        self._stop.set()

    def reap(self) -> int:
        """Collect every zombie that is there now and isn't ours; return how many."""
        reaped = 0
        while (pid := _zombie()) is not None:
            if self._collect(pid):
                reaped += 1
                continue
            # The kernel names one zombie, and this one waits for its own waiter: look at the others one by one.
            return reaped + sum(self._collect(other) for other in inherited() if _zombie(other) is not None)
        return reaped

    def _collect(self, pid: int) -> bool:
        # In this order: a child is registered before its spawn counts as finished.
        if not self._children.quiet or self._children.mine(pid):
            return False
        try:
            collected = os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            return False
        COUNTERS.add("attune_worker_zombies_total", int(collected))
        return collected


def _may_inherit() -> bool:
    """Whether an orphan can come at any moment: to PID 1 from anywhere, to others from below a child of their own."""
    if os.getpid() == 1:
        return True
    try:
        os.waitid(os.P_ALL, 0, _LOOK)
    except ChildProcessError:
        return False
    return True


def _zombie(pid: int | None = None) -> int | None:
    """Return a child that has ended and was not waited for (that one, if ``pid``), without collecting it."""
    kind, number = (os.P_ALL, 0) if pid is None else (os.P_PID, pid)
    try:
        found = os.waitid(kind, number, _LOOK)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid
