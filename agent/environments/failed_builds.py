"""Share a failed build with those who waited for it: trying it again for each of them could take hours."""

from __future__ import annotations

import threading
import time

from agent.errors import EnvironmentFailed


class SharedFailures:
    """The latest failure of each build, by its key; whoever asks after it tries again."""

    def __init__(self) -> None:
        """Know none."""
        self._guard = threading.Lock()
        self._latest: dict[str, tuple[float, EnvironmentFailed]] = {}

    def note(self, key: str, error: EnvironmentFailed) -> None:
        """Remember ``error``, unless only its own execution was cancelled."""
        if not error.cancelled:
            with self._guard:
                self._latest[key] = (time.monotonic(), error)

    def clear(self, key: str) -> None:
        """Forget what a success has made obsolete."""
        with self._guard:
            self._latest.pop(key, None)

    def raise_since(self, key: str, asked: float) -> None:
        """Raise the failure of a build that ended after ``asked`` (``time.monotonic()``).

        Raises:
            EnvironmentFailed: there was one.
        """
        with self._guard:
            at, error = self._latest.get(key, (float("-inf"), EnvironmentFailed()))
        if at > asked:
            raise EnvironmentFailed(str(error), step=error.step, hint=error.hint)
