"""``attune-agent timer``: the timer sensor; it takes everything from its environment, as every sensor does."""

from __future__ import annotations

import os
import signal
import threading
import zoneinfo
from importlib.util import find_spec

from agent.errors import UsageError
from agent.logs import configure_logging


def timer(words: list[str]) -> int:
    """Fire the timers of all rules until SIGTERM; return the exit code.

    Raises:
        UsageError: it takes no arguments.
        ConfigurationError: the environment is not that of a sensor.
    """
    if words:
        raise UsageError(
            f"unknown argument {words[0]}", hint="attune-agent timer takes everything from its environment"
        )
    from agent.timers.service import TimerService, timer_settings

    if find_spec("tzdata") is not None:
        # The zones that came with this program; the image's own may be older, or missing.
        zoneinfo.reset_tzpath(to=())
    settings = timer_settings(os.environ)
    configure_logging(os.environ.get("ATTUNE_LOG_LEVEL", "info"), "json", colour=False)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return TimerService(settings, stop).run()
