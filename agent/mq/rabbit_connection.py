"""pika's connection, which can also send many frames with one system call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pika

#: What is held back in bytes at most: pika copies the rest of a piece that the socket takes only a part of.
_PIECE = 131072


class Connection(pika.SelectConnection):  # type: ignore[misc]
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

    def _adapter_emit_data(self, data: bytes) -> None:
        """Where pika's adapters hand a frame to the socket."""
        if not self._holding:
            super()._adapter_emit_data(data)
            return
        self._held_back.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= _PIECE:
            self._let_go()

    def _let_go(self) -> None:
        pieces, self._held_back, self._held_bytes = self._held_back, [], 0
        if pieces:
            super()._adapter_emit_data(b"".join(pieces))
