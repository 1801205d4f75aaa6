"""For a command that has started things: a request to end unwinds it, and nothing interrupts what cleans up."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def refuse_signals() -> None:
    """Let no further request to end interrupt what follows."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """A request to end (Ctrl-C, TERM, HUP) unwinds and cleans up; while it cleans up, a second one changes nothing."""

    def interrupt(number: int, frame: object) -> None:
        refuse_signals()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
