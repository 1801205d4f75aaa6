"""The executions that this worker has in hand, and the way to end one of them early."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from agent.process.cancellation import CancellationToken
from agent.process.request import Ending


class RunningExecutions:
    """Stop requests by execution id. An entry is made before its claim, so that no cancellation can miss it."""

    def __init__(self) -> None:
        """Start with none in hand."""
        self._lock = threading.Condition()
        self._stops: dict[int, CancellationToken] = {}

    def add(self, ids: Iterable[int]) -> list[int]:
        """Note executions that are about to be claimed; return those that were not in hand already.

        Raises:
            OSError: no descriptor is left for one of them; none is noted then.
        """
        with self._lock:
            new: dict[int, CancellationToken] = {}
            try:
                for id_ in ids:
                    if id_ not in self._stops and id_ not in new:
                        new[id_] = CancellationToken()
            except OSError:
                for stop in new.values():
                    stop.close()
                raise
            self._stops |= new
            return list(new)

    def token_of(self, execution_id: int) -> CancellationToken:
        """Return the stop request of an execution in hand."""
        return self._stops[execution_id]

    def remove(self, execution_id: int) -> None:
        """Forget an execution that is over or was not claimed."""
        with self._lock:
            stop = self._stops.pop(execution_id, None)
            if not self._stops:
                self._lock.notify_all()
        if stop is not None:
            stop.close()

    def cancel(self, execution_id: int) -> bool:
        """Ask for the end of one execution; False when it isn't in hand."""
        with self._lock:
            stop = self._stops.get(execution_id)
        return stop is not None and (stop.cancel(Ending.CANCELLED) or stop.cause is not None)

    def stop_all(self, cause: Ending) -> int:
        """Ask for the end of all; return how many were in hand."""
        with self._lock:
            stops = list(self._stops.values())
        for stop in stops:
            stop.cancel(cause)
        return len(stops)

    def wait_empty(self, timeout: float) -> bool:
        """Wait until none is in hand; False when ``timeout`` seconds were not enough."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._stops, timeout)

    def __len__(self) -> int:
        """How many are in hand."""
        return len(self._stops)
