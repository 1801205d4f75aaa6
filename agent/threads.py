"""The only place that starts threads: each is named, owned by a group and joined, and its death is reported."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from agent.errors import MachineTooSmall

log = logging.getLogger(__name__)

_REMEDY = (
    "raise the limit of processes (--pids-limit, pids.max, ulimit -u) or use fewer slots (worker.max_concurrent_tasks)"
)


class ThreadGroup:
    """The threads of one service.

    ``on_death(name, error)`` is called in the dying thread when a member ends with an exception, so that the owner
    can stop the service: no thread dies silently.
    """

    def __init__(self, on_death: Callable[[str, BaseException], None] | None = None) -> None:
        """Start with no member."""
        self._on_death = on_death
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def start(self, name: str, target: Callable[[], None]) -> threading.Thread:
        """Run ``target`` in a new thread called ``name`` (``role-what``: ``slot-3``, ``consumer-cancel``).

        Raises:
            MachineTooSmall: the kernel gives this process no further thread.
        """

        def run() -> None:
            try:
                target()
            except BaseException as error:  # reported to the owner, never swallowed
                log.critical("thread %s died: %s", name, error, exc_info=True)
                if self._on_death is not None:
                    self._on_death(name, error)

        thread = threading.Thread(target=run, name=name, daemon=True)
        with self._lock:
            self._threads = [member for member in self._threads if member.is_alive()]
            try:
                thread.start()
            except RuntimeError as error:
                raise MachineTooSmall(
                    f"can't start thread {name}: this program already runs {len(self._threads)} threads",
                    hint=_REMEDY,
                ) from error
            self._threads.append(thread)
        return thread

    def beside(self, name: str, body: Callable[[], object], patience: float) -> bool:
        """Run ``body`` in a thread of its own and wait ``patience`` seconds for its end; whether it has ended by then.

        For what asks somebody who may not answer. Where there is no room for a thread it is left out.
        """
        over = threading.Event()

        def run() -> None:
            try:
                body()
            finally:
                over.set()

        try:
            self.start(name, run)
        except MachineTooSmall as error:
            log.warning("going on without %s: %s", name, error)
            return False
        return over.wait(patience)

    def require(self, count: int) -> None:
        """Make sure that there is room for ``count`` further threads or processes, by starting and ending as many.

        Raises:
            MachineTooSmall: the kernel gives this process fewer.
        """
        over = threading.Event()
        tried: list[threading.Thread] = []
        try:
            for _ in range(count):
                thread = threading.Thread(target=over.wait, name="room", daemon=True)
                thread.start()
                tried.append(thread)
        except RuntimeError as error:
            raise MachineTooSmall(
                f"this program needs {count} further threads and processes here and may have {len(tried)}", hint=_REMEDY
            ) from error
        finally:
            over.set()
            for thread in tried:
                thread.join()

    def join(self, timeout: float) -> list[str]:
        """Wait for all members within one shared budget of ``timeout`` seconds; return the names still alive."""
        deadline = time.monotonic() + timeout
        with self._lock:
            members = list(self._threads)
        for thread in members:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        return [thread.name for thread in members if thread.is_alive()]
