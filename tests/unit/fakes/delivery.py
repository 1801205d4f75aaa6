"""A message that was delivered, and how it was settled."""

from __future__ import annotations

from tests.unit.fakes.journal import Journal


class FakeDelivery:
    """See ``broker.Delivery``; only the first settlement counts. ``settled`` is None as long as there was none."""

    def __init__(self, execution_id: int, journal: Journal, *, redelivered: bool = False) -> None:
        self.body = b""
        self.redelivered = redelivered
        self.execution_id = execution_id
        self.settled: str | None = None
        self._journal = journal

    def ack(self) -> None:
        """Note that the message is done with."""
        self._settle("acknowledged")

    def reject(self, *, requeue: bool) -> None:
        """Note that the message goes back, or away."""
        self._settle("returned" if requeue else "dropped")

    def _settle(self, how: str) -> None:
        if self.settled is None:
            self.settled = how
            self._journal.add(how, self.execution_id)
