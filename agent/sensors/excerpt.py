"""The last lines that a sensor wrote to standard error, for the row that says how it ended."""

from __future__ import annotations

_BYTES, _LINES = 16 * 1024, 80


class Excerpt:
    """Keeps the end of a stream; for one thread."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._kept = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what was written."""
        self._kept += data[-_BYTES:]
        if len(self._kept) > 2 * _BYTES:
            del self._kept[:-_BYTES]

    def text(self) -> str | None:
        """Return at most 80 lines and 16 KiB, None where nothing was written; PostgreSQL takes no NUL."""
        text = bytes(self._kept[-_BYTES:]).decode("utf-8", "replace").replace("\0", "\ufffd")
        lines = text.splitlines()[-_LINES:]
        return "\n".join(lines) or None
