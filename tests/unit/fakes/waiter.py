"""A thread that waits for a condition, and is known to wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from unittest import mock

#: Seconds after which a test gives up.
_PATIENCE = 30.0


class Waiter:
    """Runs ``wait`` in a thread, which is in ``Condition.wait`` when the constructor returns."""

    def __init__(self, wait: Callable[[], bool]) -> None:
        self._answers: list[bool] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(wait()), daemon=True)
        waits = threading.Event()
        real = threading.Condition.wait

        def noted(condition: threading.Condition, timeout: float | None = None) -> bool:
            if threading.current_thread() is self._thread:
                waits.set()  # it has the lock until it really waits: whoever changes something comes after
            return real(condition, timeout)

        with mock.patch.object(threading.Condition, "wait", noted):
            self._thread.start()
            assert waits.wait(_PATIENCE), "nobody waits"

    def answer(self) -> bool:
        """Return what the wait returned, once it was woken."""
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive(), "nobody woke it"
        return self._answers[0]
