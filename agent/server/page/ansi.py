"""What a terminal would show of a program's output, as pieces of text with names of styles (pure).

Colours are kept; every other thing that a terminal obeys - cursor, title, clipboard, links, device strings - is eaten.
Nothing of it is ever markup: whoever shows a piece sets it as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

LONGEST_LINE = 16 * 1024
"""Characters of a line that are shown; the rest is counted."""

_LONGEST_STRING = 4096
_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
# A sequence that is whole: CSI; OSC, DCS, SOS, PM, APC up to BEL or ST; two characters; C1. A string ends before the
# next control, so that a line full of beginnings is not read to its end from each of them.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)([0-?]{0,256})[ -/]{0,16}([@-~])"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]{0,4096}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]{0,4}[0-OQ-WYZ\\`-~]"
    r"|[\x80-\x9f]"
)
_BEGUN = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,256}[ -/]{0,16}$|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]*\x1b?$|\x1b$"
)
_SIGNS = {n: 0x2400 + n for n in range(32) if n not in (9, 10)} | {0x7F: 0x2421}
# Bidirectional controls would let a line show something else than it says.
_SIGNS |= dict.fromkeys(
    [0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069, 0x200E, 0x200F], 0xFFFD
)

Piece = tuple[str, str]
"""Text, and the names of its styles, separated by blanks."""


@dataclass(frozen=True)
class _Style:
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    strike: bool = False
    inverse: bool = False
    front: str = ""
    back: str = ""

    @property
    def names(self) -> str:
        flags = ("bold", "dim", "italic", "underline", "strike", "inverse")
        found = [f"t-{name}" for name in flags if getattr(self, name)]
        return " ".join(
            [*found, *(f"f-{self.front}" for _ in self.front[:1]), *(f"b-{self.back}" for _ in self.back[:1])]
        )


@dataclass
class Terminal:
    """Reads a stream piece by piece; a style goes on until it is changed, a sequence may be cut anywhere."""

    _style: _Style = field(default_factory=_Style)
    _rest: str = ""

    def lines(self, text: str, *, last: bool = False) -> list[list[Piece]]:
        """Return the lines that are complete now; with ``last`` also the one that has no end."""
        whole = self._rest + text
        *complete, self._rest = whole.split("\n")
        if (last and self._rest) or len(self._rest) > 4 * LONGEST_LINE:
            complete.append(self._rest)
            self._rest = ""
        return [self._line(line) for line in complete]

    def _line(self, line: str) -> list[Piece]:
        line = line.removesuffix("\r")
        if "\r" in line:  # what was written last is what stays
            line = line[line.rindex("\r") + 1 :]
        cut = len(line) - LONGEST_LINE
        if cut > 0:
            line = line[:LONGEST_LINE]
        pieces: list[Piece] = []
        at = 0
        for found in _SEQUENCE.finditer(line):
            self._add(pieces, line[at : found.start()])
            if found[2] == "m":
                self._style = _styled(self._style, found[1])
            at = found.end()
        rest = line[at:]
        begun = _BEGUN.search(rest)
        self._add(pieces, rest[: begun.start()] if begun else rest)
        if cut > 0:
            pieces.append((f" … {cut} more characters", "t-dim"))
        return pieces

    def _add(self, pieces: list[Piece], text: str) -> None:
        if text:
            pieces.append((text.translate(_SIGNS), self._style.names))


def _styled(style: _Style, parameters: str) -> _Style:
    codes = [int(part) if part.isdigit() and len(part) < 6 else 0 for part in re.split("[;:]", parameters)]
    while codes:
        code = codes.pop(0)
        if code == 0:
            style = _Style()
        elif code in _ON:
            style = _with(style, {_ON[code]: True})
        elif code in _OFF:
            style = _with(style, dict.fromkeys(_OFF[code], False))
        elif code in (38, 48):
            colour, codes = _extended(codes)
            style = _with(style, {"front" if code == 38 else "back": colour})
        elif code == 39:
            style = replace(style, front="")
        elif code == 49:
            style = replace(style, back="")
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style = replace(style, front=("bright-" if code >= 90 else "") + _NAMES[code % 10])
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style = replace(style, back=("bright-" if code >= 100 else "") + _NAMES[code % 10])
    return style


def _with(style: _Style, changes: dict[str, Any]) -> _Style:
    return replace(style, **changes)


_ON = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike"}
_OFF = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",), 27: ("inverse",), 29: ("strike",)}


def _extended(codes: list[int]) -> tuple[str, list[int]]:
    """Read what follows 38 or 48: one of 256 colours, or red, green and blue; the nearest of the sixteen is shown."""
    if codes[:1] == [5] and len(codes) > 1:
        return _nearest(*_of_256(min(codes[1], 255))), codes[2:]
    if codes[:1] == [2] and len(codes) > 3:
        red, green, blue = (min(part, 255) for part in codes[1:4])
        return _nearest(red, green, blue), codes[4:]
    return "", []


def _of_256(number: int) -> tuple[int, int, int]:
    if number < 16:
        high = 255 if number > 7 else 170
        return tuple(high if number & bit else 0 for bit in (1, 2, 4))  # type: ignore[return-value]
    if number > 231:
        return (8 + 10 * (number - 232),) * 3
    number -= 16
    return tuple(0 if part == 0 else 55 + 40 * part for part in (number // 36, number // 6 % 6, number % 6))  # type: ignore[return-value]


def _nearest(red: int, green: int, blue: int) -> str:
    high = max(red, green, blue)
    if high < 64:
        return "black"
    index = sum(bit for bit, part in ((1, red), (2, green), (4, blue)) if part > high * 0.6)
    return ("bright-" if high > 200 else "") + _NAMES[index]
