"""pika's event loop, which lends its connection while it waits, and can end one that no longer answers."""

from __future__ import annotations

import errno
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from pika.adapters.select_connection import IOLoop
from pika.adapters.utils.selector_ioloop_adapter import SelectorIOServicesAdapter

from agent.mq.rabbit.pika_internals import set_poller


class _Epoll:
    """epoll(7) that gives a lock up while it waits."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._epoll = select.epoll()
        self.register = self._epoll.register
        self.modify = self._epoll.modify
        self.unregister = self._epoll.unregister
        self.close = self._epoll.close

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        self._lock.release()
        try:
            return self._epoll.poll(timeout)
        finally:
            self._lock.acquire()


class Loop(IOLoop):  # type: ignore[misc]
    """Knows the sockets that it watches: pika itself closes a connection only with the server's consent.

    ``turn`` is held by whoever works with the connection. That is the thread of ``run``, unless it waits for something
    to happen; another thread that finds the lock free may send in the meantime.
    """

    def __init__(self) -> None:
        """Watch nothing yet."""
        super().__init__()
        self.turn = threading.Lock()
        self._watched: set[int] = set()
        set_poller(self, partial(_Epoll, self.turn))

    def add_handler(self, fd: int, handler: Callable[[int, int], None], events: int) -> None:
        """Watch a socket."""
        self._watched.add(fd)
        super().add_handler(fd, handler, events)

    def remove_handler(self, fd: int) -> None:
        """Watch it no longer."""
        self._watched.discard(fd)
        super().remove_handler(fd)

    def hang_up(self) -> None:
        """End the stream on this side; pika then sees its end and cleans up."""
        for watched in self._watched:
            # A duplicate of the descriptor: pika goes on owning its own.
            with suppress(OSError), socket.fromfd(watched, socket.AF_INET, socket.SOCK_STREAM) as duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)


class Services(SelectorIOServicesAdapter):  # type: ignore[misc]
    """What pika connects through. A connection that is reset the moment it was made is one that could not be made.

    pika itself takes that for a mistake of its caller and raises in the middle of the loop; so it does where no thread
    can be had that looks a host name up, because jobs use all that are allowed here.
    """

    def getaddrinfo(self, *arguments: Any, on_done: Callable[[Any], None], **options: Any) -> Any:
        """Report that no thread can be had as a name that could not be looked up: it is tried again."""
        try:
            return super().getaddrinfo(*arguments, on_done=on_done, **options)
        except RuntimeError as error:
            return self.call_later(0, partial(on_done, OSError(errno.EAGAIN, f"the limit of processes: {error}")))

    def create_streaming_connection(self, *arguments: Any, on_done: Callable[[Any], None], **options: Any) -> Any:
        """Report what goes wrong right at the start as everything later is reported."""
        try:
            return super().create_streaming_connection(*arguments, on_done=on_done, **options)
        except (ValueError, OSError) as error:
            return self.call_later(0, partial(on_done, error))
