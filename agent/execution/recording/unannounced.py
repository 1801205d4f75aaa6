"""Committed claims of which the broker doesn't know yet, and the dispatches that are acknowledged with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from agent.execution.model import Claim
from agent.execution.recording.announcements import announce_claim, announce_end
from agent.execution.report import Finished
from agent.mq.broker import Delivery, Publisher


class Unannounced:
    """Part of the coordinator: claims wait here while the slots start their processes."""

    def __init__(self, publisher: Publisher, acknowledge: Callable[[Sequence[Delivery]], None]) -> None:
        """Send through ``publisher``, then ``acknowledge``."""
        self._publisher = publisher
        self._acknowledge = acknowledge
        self._deliveries: list[Delivery] = []
        self._claims: list[Claim] = []

    @property
    def waiting(self) -> bool:
        """Whether a dispatch is not acknowledged yet."""
        return bool(self._deliveries)

    def add(self, deliveries: Iterable[Delivery], claims: Iterable[Claim]) -> None:
        """Take in what was committed: dispatches, and what could be claimed of them."""
        self._deliveries.extend(deliveries)
        self._claims.extend(claims)

    def announce(self, finished: Sequence[Finished] = ()) -> None:
        """Announce ends, and before them what was claimed earlier: with one call, for each is a system call."""
        if self._claims or finished:
            ends = [message for done in finished for message in announce_end(done)]
            self._publisher.send([*map(announce_claim, self._claims), *ends])
        if self._deliveries:
            self._acknowledge(self._deliveries)
        self._deliveries, self._claims = [], []
