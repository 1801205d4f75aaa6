"""What the direct way works with: settings, the database, and the broker when something is to be told."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from agent.control.submission import Send
from agent.mq.broker import Broker
from agent.settings import Settings


class Means(Protocol):
    """Opens each when it is needed: most commands need the database only."""

    @property
    def settings(self) -> Settings:
        """The settings as they were loaded."""

    @property
    def broker_settings(self) -> Settings:
        """The settings; where they name no broker and the database is one already, it is meant."""

    def broker(self) -> Broker:
        """Return the broker, not connected yet."""

    def sender(self) -> AbstractContextManager[Send]:
        """Lend a function that publishes one message and returns when the broker has it."""
