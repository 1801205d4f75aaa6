"""What we use of pika that it does not promise: all of it is here, and a test fails where another pika differs.

Each use saves work for every message; ``make bench`` compares with pika as it comes.
"""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import pika
from pika.adapters.select_connection import IOLoop

#: The versions of pika that these uses were tried with.
TRIED = ("1.4.4",)


def set_poller(loop: IOLoop, make: Callable[[], Any]) -> None:
    """Let ``loop`` wait with what ``make`` returns, where pika makes an epoll of its own when the loop starts."""
    loop._poller._create_poller = make


class FrameConnection(pika.SelectConnection):  # type: ignore[misc]
    """A connection whose frames pass through ``emit`` on their way to the socket."""

    @abstractmethod
    def emit(self, data: bytes) -> None:
        """Take one frame, or several, to be sent."""

    def _adapter_emit_data(self, data: bytes) -> None:
        """Where pika's adapters hand a frame to the socket."""
        self.emit(data)

    @property
    def largest_body(self) -> int:
        """The bytes of a body that one frame of this connection may hold."""
        most: int = self._body_max_length
        return most

    def send_by_loop(self, data: bytes) -> None:
        """Let pika send ``data`` when its loop finds that the socket takes it, also through TLS."""
        super()._adapter_emit_data(data)

    def idle_socket(self) -> socket.socket | None:
        """Return the socket while nothing waits to be sent; None where it is encrypted or something waits."""
        transport = self._transport
        plain = getattr(transport, "_sock", None)
        return plain if type(plain) is socket.socket and not transport.get_write_buffer_size() else None
