"""Bounded capture of one output stream: keeps what fits, marks where it was cut, counts the rest."""

from __future__ import annotations

#: Room that is kept free below a limit for the mark itself (promise: logs are complete).
RESERVE_BYTES = 128


def truncation_mark(stream: str) -> str:
    """Return what stands at the end of a stream that was cut: in the log, and in the result."""
    return f"\n\n[OUTPUT TRUNCATED: {stream} exceeded size limit]\n"


class BoundedCapture:
    """Keeps at most ``limit - 128`` bytes of a stream, cut at a character; the mark is added once where more came."""

    def __init__(self, stream: str, limit: int) -> None:
        """Capture ``stream`` (``stdout`` or ``stderr``) up to ``limit`` bytes."""
        self._room = max(0, limit - RESERVE_BYTES)
        self._chunks: list[bytes] = []
        self.mark = truncation_mark(stream).encode()
        self.dropped = 0

    def feed(self, data: bytes) -> bytes:
        """Take a chunk; return the part of it, with the mark, that belongs into a log with the same limit."""
        if self.dropped:
            self.dropped += len(data)
            return b""
        if len(data) <= self._room:
            self._room -= len(data)
            self._chunks.append(data)
            return data
        kept = _whole_characters(b"".join(self._chunks)[-3:], data[: self._room])
        self.dropped = len(data) - len(kept)
        self._room = 0
        self._chunks += [kept, self.mark]
        return kept + self.mark

    @property
    def truncated(self) -> bool:
        """Whether anything was dropped."""
        return self.dropped > 0

    def data(self) -> bytes:
        """Everything that was kept, with the mark."""
        if len(self._chunks) > 1:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0] if self._chunks else b""

    def text(self) -> str:
        """The same as text; bytes that are no UTF-8 become U+FFFD."""
        return self.data().decode("utf-8", "replace")


def _whole_characters(before: bytes, kept: bytes) -> bytes:
    """Drop a UTF-8 character that was cut at the end of ``kept``; ``before`` is what precedes it.

    Only the bytes of this chunk can be taken back, so a character that began in an earlier chunk stays cut.
    """
    tail = (before + kept)[-4:]
    for back in range(1, min(4, len(tail)) + 1):
        byte = tail[-back]
        if byte & 0xC0 != 0x80:  # a first byte
            length = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return kept[:-back] if length > back and back <= len(kept) else kept
    return kept
