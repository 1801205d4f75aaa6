"""Beat at a fixed interval, say once when the database is away and once when it is back, and notice a lost lock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from agent.errors import DatabaseError
from agent.presence.registration import Registration

log = logging.getLogger(__name__)

#: After a failed beat, try again sooner than the next interval: 90 s without one make a worker look dead.
_RETRY_SECONDS = 2.0


class Heartbeat:
    """The body of the heartbeat thread."""

    def __init__(
        self,
        registration: Registration,
        *,
        interval: float,
        restore_active: Callable[[], bool],
        unannounced: Callable[[], int | None],
        note: Callable[[int | None], None],
        on_lost: Callable[[], None],
        beaten: Callable[[], object] = lambda: None,
        stopping: threading.Event | None = None,
    ) -> None:
        """Beat every ``interval`` seconds until ``stopping`` is set.

        ``unannounced`` says since when messages wait for the broker (Unix seconds); it is written with each beat, and
        given to ``note`` while the database takes none. ``on_lost`` is called once when another process took the
        worker's place, ``beaten`` after each beat; it may raise DatabaseError.
        """
        self._registration = registration
        self._interval = interval
        self._restore_active = restore_active
        self._unannounced = unannounced
        self._note = note
        self._on_lost = on_lost
        self._beaten = beaten
        self._stop = stopping or threading.Event()
        self.last_success = time.monotonic()

    def run(self) -> None:
        """Beat until ``stop``."""
        away = False
        while not self._stop.wait(min(self._interval, _RETRY_SECONDS) if away else self._interval):
            unannounced = self._unannounced()
            try:
                if not self._registration.beat(restore_active=self._restore_active, unannounced=unannounced):
                    log.error("another process has taken over this worker's name: draining")
                    self._on_lost()
                    return
                self._beaten()
            except DatabaseError as error:
                if not away:
                    log.error("can't send a heartbeat: %s", error)
                away = True
                self._note(unannounced)
                continue
            self._note(None)
            if away:
                log.info("heartbeat restored after %.0f s", time.monotonic() - self.last_success)
            away = False
            self.last_success = time.monotonic()

    def stop(self) -> None:
        """End ``run``."""
        self._stop.set()
