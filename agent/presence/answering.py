"""Answer whoever connects, one after the other, in one thread: no question may hold up the next for long."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

_POLL = 0.5


def answer_each(listener: socket.socket, answer: Callable[[socket.socket], None], stop: threading.Event) -> None:
    """Accept and answer until ``stop`` is set, then close ``listener``.

    ``answer`` bounds its own time; an OSError of it, of one who doesn't wait for the answer, is nobody else's problem.
    """
    with listener:
        listener.settimeout(_POLL)
        while not stop.is_set():
            try:
                asker = listener.accept()[0]
            except TimeoutError:
                continue
            except OSError as error:  # out of descriptors, or the asker has gone: the next one may fare better
                log.debug("a question failed: %s", error)
                stop.wait(_POLL)
                continue
            with asker, contextlib.suppress(OSError):
                answer(asker)
