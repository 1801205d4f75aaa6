"""pika's event loop, which can also end a connection that no longer answers."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress

from pika.adapters.select_connection import IOLoop


class Loop(IOLoop):  # type: ignore[misc]
    """Knows the sockets that it watches: pika itself closes a connection only with the server's consent."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        super().__init__()
        self._watched: set[int] = set()

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
            # A twin of the descriptor: pika goes on owning its own.
            with suppress(OSError), socket.socket(fileno=os.dup(watched)) as twin:
                twin.shutdown(socket.SHUT_RDWR)
