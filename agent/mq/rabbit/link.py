"""One connection to RabbitMQ with one channel, kept up in one thread: what consumer and publisher have in common."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from pika.exceptions import ChannelClosedByBroker

from agent.mq.rabbit.address import RabbitAddress, reason
from agent.mq.rabbit.connection import Connection
from agent.mq.rabbit.declaration import declare_common
from agent.mq.rabbit.loop import Loop, Services
from agent.mq.reconnection import Reconnection

log = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0


class Link(ABC):
    """Connects, declares the common exchanges, opens a channel and hands it to ``_prepare``; and again after each loss.

    Every way to lose it (socket, broker, channel closed by the broker, consumer cancelled) takes the same path: the
    connection is closed and made anew after a pause. Methods with an underscore run in the thread of ``run``, or while
    it waits in one that has ``_loop.turn``.
    """

    def __init__(self, address: RabbitAddress, *, name: str) -> None:
        """Prepare; ``name`` is what logs and operators call this connection."""
        self._address = address
        self._name = name
        self._loop = Loop()
        self._lock = threading.Lock()
        self._running = False
        self._closing = False
        self._wanted = True
        self._connection: Connection | None = None
        self._channel: Any = None
        self._up = False
        self._reconnection = Reconnection(name, f"RabbitMQ at {address.label}")
        self._why: BaseException | None = None
        self._failure: BaseException | None = None

    @property
    def connected(self) -> bool:
        """Whether the channel is ready now. From any thread."""
        return self._up

    def run(self) -> None:
        """Keep the connection until ``close``."""
        with self._lock:
            if self._closing:
                return
            self._running = True
        try:
            with self._loop.turn:
                try:
                    self._connect()
                    self._loop.start()
                finally:
                    self._up = False
                    self._connection = self._channel = None
        finally:
            with self._lock:
                self._running = False
                self._loop.close()
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Finish what is under way, close the connection and end ``run``, in five seconds at most. From any thread."""
        with self._lock:
            first, self._closing = not self._closing, True
            if first and not self._running:
                self._loop.close()
            elif first:
                self._loop.add_callback_threadsafe(self._begin_close)

    def _call(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` in the thread of ``run``, if that is running. From any thread."""
        with self._lock:
            if self._running:
                self._loop.add_callback_threadsafe(callback)

    def _now_or_soon(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` here while the thread of ``run`` only waits, else there. From any thread.

        Here is sooner, and it spares two switches between threads. Never in the main thread, where the handler of a
        signal may raise in the middle of everything.
        """
        here = threading.current_thread() is not threading.main_thread()
        if here and self._loop.turn.acquire(blocking=False):
            try:
                callback()
            finally:
                self._loop.turn.release()
        else:
            self._call(callback)

    # What a subclass adds.

    @abstractmethod
    def _prepare(self, channel: Any) -> None:
        """Set up a new channel and call ``_report_up`` when it is ready."""

    def _drop(self) -> None:
        """Forget what belonged to the channel that was lost."""

    def _finish(self) -> bool:
        """Send what must not be lost before closing; False while something has to be waited for."""
        return True

    # Connecting.

    def _connect(self) -> None:
        if not self._wanted or self._closing:
            return
        self._connection = Connection(
            self._address.parameters(self._name),
            on_open_callback=self._opened,
            on_open_error_callback=self._ended,
            on_close_callback=self._ended,
            custom_ioloop=Services(self._loop),
        )

    def _opened(self, connection: Any) -> None:
        # On a channel of its own: where an exchange exists with another type, the deployment still works.
        connection.channel(on_open_callback=self._declare_common)

    def _declare_common(self, channel: Any) -> None:
        channel.add_on_close_callback(self._common_declared)
        declare_common(channel)
        channel.close()

    def _common_declared(self, channel: Any, why: BaseException) -> None:
        if isinstance(why, ChannelClosedByBroker):
            log.debug("%s: the common exchanges could not be declared: %s", self._name, reason(why))
        if channel.connection.is_open:
            channel.connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Any) -> None:
        channel.add_on_close_callback(self._channel_closed)
        self._channel = channel
        self._prepare(channel)

    def _report_up(self) -> None:
        self._up = True
        self._reconnection.up()

    # Losing.

    def _channel_closed(self, channel: Any, why: BaseException) -> None:
        self._break_off(channel, why)

    def _break_off(self, channel: Any, why: BaseException) -> None:
        """Give this connection up because its channel is of no use any more."""
        self._up = False
        if self._closing:
            return
        if self._why is None:
            self._why = why
        if channel.connection.is_open:
            channel.connection.close()

    def _ended(self, _connection: Any, why: BaseException) -> None:
        why, self._why = self._why or why, None
        self._connection = self._channel = None
        self._up = False
        self._drop()
        if self._closing:
            self._loop.stop()
        elif self._wanted:
            self._loop.call_later(self._reconnection.down(reason(why)), self._connect)

    def _fail(self, error: BaseException) -> None:
        """End ``run`` with an error: a bug in what was called, not a matter of the network."""
        self._failure = error
        self._begin_close()

    # Closing.

    def _begin_close(self) -> None:
        self._closing = True
        if self._connection is None:
            self._loop.stop()
            return
        self._loop.call_later(CLOSE_SECONDS - 2, self._close_connection)
        self._loop.call_later(CLOSE_SECONDS - 1, self._loop.hang_up)
        self._loop.call_later(CLOSE_SECONDS, self._loop.stop)
        self._close_when_finished()

    def _close_when_finished(self) -> None:
        if not self._up or self._finish():
            self._close_connection()

    def _close_connection(self) -> None:
        connection = self._connection
        if connection is None or connection.is_closing or connection.is_closed:
            return
        if connection.is_open:
            connection.close()
        else:
            self._loop.hang_up()  # pika fails when it is told to close in the middle of the handshake
