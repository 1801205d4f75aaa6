"""pika's connection, which sends at once, and many frames with one system call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pika.channel import Channel

from agent.mq.broker import Outgoing
from agent.mq.rabbit.pika_internals import FrameConnection
from agent.mq.rabbit.publish_frames import frames

#: What is held back in bytes at most: pika copies the rest of a piece that the socket takes only a part of.
_PIECE = 131072


class Connection(FrameConnection):
    """pika sends each frame on its own, three for a message: each wakes the broker, and costs a system call."""

    _holding = False
    _held_back: list[bytes]
    _held_bytes = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send what is written in the block in as few pieces as possible."""
        self._held_back, self._held_bytes, self._holding = [], 0, True
        try:
            yield
        finally:
            self._holding = False
            self._let_go()

    def publish(self, channel: Channel, message: Outgoing) -> None:
        """Send a message on ``channel``, which is open. Raises ValueError: a name is too long for the broker."""
        self.emit(frames(channel.channel_number, message, self.largest_body))

    def emit(self, data: bytes) -> None:
        """Send a frame, or hold it back until the block of ``together`` ends."""
        if not self._holding:
            self._send(data)
            return
        self._held_back.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= _PIECE:
            self._let_go()

    def _let_go(self) -> None:
        pieces, self._held_back, self._held_bytes = self._held_back, [], 0
        if pieces:
            self._send(b"".join(pieces))

    def _send(self, data: bytes) -> None:
        """Send what the socket takes now; pika sends the rest, and all where it must go through TLS.

        pika sends nothing before its loop has asked whether it may, which costs a round through the loop.
        """
        plain = self.idle_socket()
        if plain is not None:
            with suppress(OSError):  # that it is broken is for pika to find out
                data = data[plain.send(data) :]
        if data:
            self.send_by_loop(data)
