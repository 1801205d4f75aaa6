"""Publish single messages and know that the broker has them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from agent.control.submission import Send
from agent.errors import BrokerUnavailable
from agent.mq.broker import Outgoing
from agent.mq.connect import open_broker
from agent.settings import Settings
from agent.threads import ThreadGroup

_CONFIRM_SECONDS = 5.0


@contextlib.contextmanager
def sender(settings: Settings, *, name: str) -> Iterator[Send]:
    """Lend a function that publishes one message and returns when the broker has confirmed it.

    Raises:
        BrokerUnavailable: the broker can't be reached; found out before the block begins.
    """
    broker = open_broker(settings, name=name)
    broker.declare(())
    publisher = broker.publisher()
    threads = ThreadGroup()
    threads.start("publisher", publisher.run)

    def send(message: Outgoing) -> None:
        publisher.send([message])
        if not publisher.flush(settings.message_queue.connect_timeout + _CONFIRM_SECONDS):
            raise BrokerUnavailable("the broker did not confirm the message")

    try:
        yield send
    finally:
        publisher.close()
        threads.join(_CONFIRM_SECONDS)
