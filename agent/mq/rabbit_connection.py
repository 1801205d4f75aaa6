"""pika's connection, which can also send many frames with one system call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pika


class Connection(pika.SelectConnection):  # type: ignore[misc]
    """pika sends each frame on its own, three for a message: each wakes the broker, and costs a system call."""

    _held_back: list[bytes] | None = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send what is written in the block as one piece when it ends."""
        held_back: list[bytes] = []
        self._held_back = held_back
        try:
            yield
        finally:
            self._held_back = None
            if held_back:
                super()._adapter_emit_data(b"".join(held_back))

    def _adapter_emit_data(self, data: bytes) -> None:
        """Where pika's adapters hand a frame to the socket."""
        if self._held_back is None:
            super()._adapter_emit_data(data)
        else:
            self._held_back.append(data)
