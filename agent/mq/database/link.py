"""One connection to the database broker, kept up in one thread: what consumer and publisher have in common."""

from __future__ import annotations

import select
import socket
import threading
import time
from abc import ABC, abstractmethod
from contextlib import closing, suppress

import psycopg

from agent.db.error_translation import translated
from agent.db.pool import Connection, Database
from agent.errors import BrokerError, DatabaseError
from agent.mq.reconnection import Reconnection


class DatabaseLink(ABC):
    """Connects, calls ``_enter``, then ``_work`` again and again; and all of it again after each loss.

    Between two calls of ``_work`` the thread sleeps until something arrives from the server, another thread wakes it or
    the time that ``_work`` named is over. Methods with an underscore run in the thread of ``run``, but for ``_wake``.
    """

    def __init__(self, database: Database, *, name: str) -> None:
        """Prepare; ``name`` is what logs call this connection."""
        self._database = database
        self._name = name
        self._reconnection = Reconnection(name, f"PostgreSQL at {database.address.label}")
        self._up = False
        self._closing = threading.Event()
        self._wakened = False
        self._notified = False
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._lock = threading.Lock()
        self._started = False

    @property
    def connected(self) -> bool:
        """Whether the connection works, as far as is known. From any thread."""
        return self._up

    def run(self) -> None:
        """Keep the connection until ``close``."""
        with self._lock:
            self._started = not self._closing.is_set()
        try:
            while not self._closing.is_set():
                try:
                    self._serve()
                except (DatabaseError, BrokerError, OSError) as error:
                    self._up = False
                    if self._closing.is_set():
                        break
                    self._leave()
                    self._sleep(self._reconnection.down(str(error)))
        finally:
            self._up = False
            with self._lock:
                self._started = False
                self._bell.close()
                self._ear.close()

    def close(self) -> None:
        """Finish what is under way, close the connection and end ``run``. From any thread."""
        with self._lock:
            first = not self._closing.is_set()
            self._closing.set()
            if first and not self._started:
                self._bell.close()
                self._ear.close()
        self._wakened = False
        self._wake()

    def _wake(self) -> None:
        """End the sleep. From any thread."""
        if not self._wakened:
            self._wakened = True
            with suppress(OSError):  # full: it will wake anyway; closed: nobody sleeps any more
                self._bell.send(b".")

    # What a subclass adds.

    def _enter(self, connection: Connection) -> None:
        """Set up a new connection."""

    @abstractmethod
    def _work(self, connection: Connection) -> float:
        """Do what there is to do; return how many seconds to sleep when nothing happens, 0 to be called again."""

    def _finish(self, connection: Connection) -> None:
        """Send what must not be lost before closing."""

    def _leave(self) -> None:
        """Forget what belonged to the connection that was lost."""

    def _serve(self) -> None:
        with closing(self._database.connect(autocommit=True)) as connection, translated(self._database.address.label):
            connection.add_notify_handler(self._note)
            self._enter(connection)
            self._up = True
            self._reconnection.up()
            while not self._closing.is_set():
                pause = self._work(connection)
                if pause:
                    self._listen(connection, pause)
            self._finish(connection)

    def _note(self, _notify: psycopg.Notify) -> None:
        """Remember a notification that came along with the answer to a statement."""
        self._notified = True

    def _listen(self, connection: Connection, seconds: float) -> None:
        """Sleep until the server says something, a thread wakes this one, or the time is over."""
        if self._notified:
            self._notified = False
            return
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        poll.register(self._ear.fileno(), select.POLLIN)
        happened = poll.poll(seconds * 1000)
        if any(descriptor != self._ear.fileno() for descriptor, _ in happened):
            connection.pgconn.consume_input()
            while connection.pgconn.notifies():
                pass
            if connection.pgconn.status != psycopg.pq.ConnStatus.OK:
                raise psycopg.OperationalError("the server closed the connection")
        self._hear()

    def _sleep(self, seconds: float) -> None:
        """Pause without a connection; only ``close`` ends it early."""
        deadline = time.monotonic() + seconds
        while not self._closing.is_set() and (left := deadline - time.monotonic()) > 0:
            poll = select.poll()  # select(2) knows no descriptor above 1023
            poll.register(self._ear.fileno(), select.POLLIN)
            poll.poll(left * 1000)
            self._hear()

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            self._ear.recv(64)
        self._wakened = False  # only now: a byte that comes in between would be read, and no other be sent
