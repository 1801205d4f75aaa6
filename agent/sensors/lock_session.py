"""The service's connection that holds the locks of its sensors and hears of changes; for one thread.

Whoever has a sensor's lock runs it, and nobody else does. The locks go with the session: when the server has closed it,
or can't reach us any longer, others may take them, after a while that is longer than ours to end what we run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple, TypeVar

import psycopg

from agent.db.error_translation import translated
from agent.db.named_statements import Statements
from agent.db.pool import Connection, Database
from agent.errors import DatabaseError, DatabaseUnavailable

log = logging.getLogger(__name__)

#: Tells of rules, triggers and sensors that have changed, and of locks that were given back.
CHANNEL = "server_rules_changed"
_STATEMENT_SECONDS = 4.0
#: The server gives up a session whose client is silent: 5 s, then three probes 2 s apart.
_KEEPALIVES = """
SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),
       set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '11s', false)
"""


#: Seconds that our earlier session gets to end, and between two looks.
_SESSION_END_SECONDS, _LOOK = 1.0, 0.02

Answer = TypeVar("Answer")


class _Session(NamedTuple):
    pid: int
    backend_start: datetime


class LockSession:
    """``answered`` is when the server last proved that the session lives (monotonic seconds)."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        """Connect to nothing yet."""
        self._database = database
        self._clock = clock
        self._sql = Statements("agent.sensors")
        self._connection: Connection | None = None
        self._earlier: _Session | None = None
        self._heard = False
        self.answered = clock()
        self.held: set[int] = set()

    @property
    def connected(self) -> bool:
        """Whether there is a session, as far as is known."""
        return self._connection is not None and not self._connection.closed

    def restore(self) -> set[int]:
        """Make sure that there is a session; return the sensors whose locks somebody else has taken meanwhile.

        Raises:
            DatabaseError: there is none to be had.
        """
        if self.connected:
            return set()
        asked = self._clock()
        self.close()
        with translated(self._database.address.label):
            connection = self._database.connect(autocommit=True, statement_timeout=_STATEMENT_SECONDS)
            try:
                with contextlib.suppress(psycopg.errors.FeatureNotSupported, psycopg.errors.InvalidParameterValue):
                    connection.execute(_KEEPALIVES)  # a local socket has none
                connection.add_notify_handler(self._hear)
                connection.execute(f"LISTEN {CHANNEL}".encode())
                self._end_earlier(connection)
                taken = {sensor for sensor in self.held if self._take(connection, sensor)}
            except BaseException:
                connection.close()
                raise
        lost = self.held - taken
        self._connection, self.held, self.answered = connection, taken, asked
        return lost

    def take(self, sensor: int) -> bool:
        """Take a sensor's lock; False when somebody else has it. Raises DatabaseError."""
        if sensor in self.held:
            return True
        if self._asked(lambda connection: self._take(connection, sensor)):
            self.held.add(sensor)
        return sensor in self.held

    def release(self, sensor: int) -> None:
        """Give a sensor's lock back, and tell the others; without a session it is gone already."""
        self.held.discard(sensor)
        if self.connected:
            with contextlib.suppress(DatabaseError):
                self._asked(lambda connection: self._sql.run(connection, "release_lock", {"sensor": sensor}))

    def drop(self) -> None:
        """Claim nothing any longer: others may have it."""
        self.held.clear()

    def free(self, sensors: Iterable[int]) -> set[int]:
        """Return which of these sensors nobody runs; the answer proves that the session lives. Raises DatabaseError."""
        values = {"sensors": list(sensors)}
        return set(self._asked(lambda connection: self._sql.values(connection, "free_locks", values)))

    def wait(self, timeout: float, wake: int) -> bool:
        """Wait until something is told, the session ends or ``wake`` is readable; whether something was told."""
        if self._took_notice():
            return True
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        connection = self._connection if self.connected else None
        try:
            if connection is not None:
                poll.register(connection.fileno(), select.POLLIN)
            ready = {descriptor for descriptor, _ in poll.poll(timeout * 1000)}
            if connection is None or connection.fileno() not in ready:
                return False
            connection.execute("SELECT")  # takes what has come, this connection's end included
            return self._took_notice()
        except (psycopg.Error, OSError, ValueError) as error:
            log.warning("the session that holds the locks of sensors was lost: %s", str(error).strip() or error)
            self.close()
            return True

    def _hear(self, _notice: psycopg.Notify) -> None:
        """Note that something was told: it may come with the answer to any statement."""
        self._heard = True

    def _took_notice(self) -> bool:
        heard, self._heard = self._heard, False
        return heard

    def interrupt(self) -> None:
        """Let a statement that waits for the server fail; from any thread."""
        connection = self._connection
        if connection is not None and not connection.closed:
            with (
                contextlib.suppress(OSError, psycopg.Error),
                socket.socket(fileno=os.dup(connection.fileno())) as duplicate,
            ):
                duplicate.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the session, and with it every lock."""
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _end_earlier(self, connection: Connection) -> None:
        """End the session that we lost without the server having noticed: it would keep our locks from us."""
        if self.held and self._earlier is not None:
            deadline = self._clock() + _SESSION_END_SECONDS
            while (
                self._sql.values(connection, "end_lock_session", self._earlier._asdict()) and self._clock() < deadline
            ):
                time.sleep(_LOOK)
        self._earlier = self._sql.one(connection, _Session, "lock_session")

    def _take(self, connection: Connection, sensor: int) -> bool:
        return bool(self._sql.value(connection, "take_lock", {"sensor": sensor}))

    def _asked(self, statement: Callable[[Connection], Answer]) -> Answer:
        if self._connection is None or self._connection.closed:
            raise DatabaseUnavailable("there is no session that holds the locks of sensors")
        asked = self._clock()
        try:
            with translated(self._database.address.label):
                answer = statement(self._connection)
        except DatabaseError:
            self.close()
            raise
        self.answered = asked
        return answer
