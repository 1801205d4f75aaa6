"""Let what an action writes reach a terminal with its colours, and with nothing else that drives it (pure).

Cursor movements, titles, the clipboard, queries that the terminal answers as if somebody typed: all of it is dropped.
"""

from __future__ import annotations

import re

# In this order: colours are kept; every other sequence goes; then single control characters, C1 ones in UTF-8 included.
_TOKENS = re.compile(
    rb"(?P<colour>\x1b\[[0-9;:]*m)"
    rb"|\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    # OSC, DCS, SOS, PM, APC; each ends before the next control, or many beginnings would all be read to the end.
    rb"|(?:\x1b[\]PX^_]|\xc2[\x9d\x90\x98\x9e\x9f])(?:[^\x07\x1b\x9c\xc2]|\xc2(?![\x80-\x9f]))*(?:\x07|\x1b\\|\xc2\x9c)"
    rb"|\x1b[ -/]*[0-~]"
    rb"|(?P<line>\r\n|\n|\t)"
    rb"|(?P<return>\r)"
    rb"|[\x00-\x1f\x7f]|\xc2[\x80-\x9f]"
)
_UNFINISHED = re.compile(rb"(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)?|\xc2|\r)\Z")
_LONGEST = 64 * 1024


class TerminalFilter:
    """For one stream: a sequence may be split between two chunks."""

    def __init__(self) -> None:
        """Begin with nothing held back."""
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what may be written of a chunk, and of what was held back before."""
        text = self._held + chunk
        unfinished = _UNFINISHED.search(text)
        self._held = b""
        if unfinished is not None and len(text) - unfinished.start() <= _LONGEST:
            text, self._held = text[: unfinished.start()], text[unfinished.start() :]
        return _TOKENS.sub(_kept, text)

    def finish(self) -> bytes:
        """Return what may be written of what is still held back: nothing that began a sequence."""
        held, self._held = self._held, b""
        return b"\n" if held == b"\r" else b"" if held[:1] in (b"\x1b", b"\xc2") else held


def harmless(text: str) -> str:
    """Return a whole text with its colours and nothing else that drives a terminal."""
    found = TerminalFilter()
    encoded = text.encode("utf-8", "surrogateescape")
    return (found.feed(encoded) + found.finish()).decode("utf-8", "replace")


def _kept(match: re.Match[bytes]) -> bytes:
    if match["colour"] or match["line"]:
        return match[0]
    return b"\n" if match["return"] else b""
