"""A broker of which only the queues that are deleted matter."""

from __future__ import annotations

from collections.abc import Sequence

from agent.errors import BrokerUnavailable
from agent.mq.broker import Consumer, Publisher, Queue, Subscription
from tests.unit.fakes.publisher import FakePublisher


class FakeBroker:
    """See ``broker.Broker``."""

    def __init__(self, publisher: FakePublisher) -> None:
        self._publisher = publisher
        self.deleted: list[str] = []
        self.unbound: list[Queue] = []
        self.away = False

    def declare(self, queues: Sequence[Queue]) -> None:
        """Nothing."""

    def delete(self, queues: Sequence[str], *, unbind: Sequence[Queue] = ()) -> None:
        """Note what is deleted."""
        if self.away:
            raise BrokerUnavailable
        self.deleted += queues
        self.unbound += unbind

    def consumers(self, queue: str) -> int:
        """Nobody."""
        return 0

    def consumer(self, subscription: Subscription) -> Consumer:
        """There is none: dispatches come from the test."""
        raise NotImplementedError

    def publisher(self) -> Publisher:
        """The publisher of the test."""
        return self._publisher
