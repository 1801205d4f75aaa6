"""Wait until the broker delivers: only then may a service say that it is active."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection

from agent.mq.broker import Consumer

log = logging.getLogger(__name__)

_PATIENCE, _LOOK = 30.0, 0.01
"""Seconds between two warnings, and between two looks."""


def wait_subscribed(consumers: Collection[Consumer], giving_up: threading.Event, *, service: str) -> bool:
    """Wait until all ``consumers`` are subscribed; False when ``giving_up`` was set before. Logs name the service."""
    warn_at = time.monotonic() + _PATIENCE
    while not all(consumer.subscribed for consumer in consumers):
        if giving_up.wait(_LOOK):
            return False
        if time.monotonic() > warn_at:
            warn_at = time.monotonic() + _PATIENCE
            log.warning("this %s stays inactive until the broker delivers to it", service)
    return True
