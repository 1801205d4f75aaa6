"""A publisher whose broker confirms what a test lets it confirm."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent.errors import BrokerUnavailable
from agent.mq.broker import MAX_BACKLOG, Outgoing
from agent.mq.envelope import decode
from tests.unit.fakes.journal import Journal


class FakePublisher:
    """See ``broker.Publisher``. Each message is checked by ``check`` and noted when it is sent."""

    def __init__(self, journal: Journal, *, check: Callable[[Outgoing], None] = lambda message: None) -> None:
        self._journal = journal
        self._check = check
        self.waiting: list[Outgoing] = []
        self.confirmed: list[Outgoing] = []
        self.connected = True
        #: Messages of others that wait in front of those of the test.
        self.more = 0

    def run(self) -> None:
        """Nothing: what is sent waits for ``confirm``."""

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Queue messages; while the broker is connected and nothing is in front of them, they are confirmed at once."""
        if self.backlog + len(messages) > MAX_BACKLOG:
            raise BrokerUnavailable
        for message in messages:
            self._check(message)
            self._journal.add("announced", *described(message))
            self.waiting.append(message)
        if self.connected and not self.more:
            self.confirm()

    def confirm(self) -> None:
        """Let the broker take everything."""
        self.more = 0
        self.confirmed += self.waiting
        self.waiting.clear()

    def flush(self, timeout: float) -> bool:
        """Tell whether everything is confirmed."""
        return not self.backlog

    def close(self) -> None:
        """Nothing."""

    @property
    def backlog(self) -> int:
        """How many messages wait."""
        return self.more + len(self.waiting)

    @property
    def oldest(self) -> int | None:
        """Since when they wait."""
        return min((message.timestamp for message in self.waiting), default=None)


def described(message: Outgoing) -> tuple[int, str]:
    """Say whom a message is about and what it says: ``(7, "running")``, ``(7, "completion of failed")``."""
    envelope = decode(message.body)
    payload = envelope.payload
    if envelope.message_type == "ExecutionCompleted":
        return payload["execution_id"], f"completion of {payload['status'].lower()}"
    return payload["execution_id"], payload.get("new_status", "request")
