"""Reads a version or a constraint from left to right; every complaint points at the offending character (pure)."""

from __future__ import annotations

import re

from agent.errors import VersionError

_LARGEST = 2**64 - 1
_DIGITS = re.compile(r"[0-9]+")
_IDENTIFIERS = re.compile(r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*")


class Reader:
    """A position in ``text``, which is the part of ``original`` that begins at ``offset``."""

    def __init__(self, text: str, what: str, original: str, offset: int = 0) -> None:
        """Start at the beginning; ``what`` is the word for the whole (``version``, ``constraint``)."""
        self.text = text
        self.at = 0
        self._what = what
        self._original = original
        self._offset = offset

    def fail(self, reason: str, at: int | None = None) -> VersionError:
        """Return the error for the current position, or for ``at``."""
        place = self._offset + (self.at if at is None else at)
        found = self._original[place : place + 1]
        where = f"at character {place + 1} ({found!r})" if found else "at its end"
        return VersionError(f"invalid {self._what} {self._original!r} {where}: {reason}")

    def take(self, choices: str) -> bool:
        """Step over one character when it is one of ``choices``."""
        found = self.text[self.at : self.at + 1]
        if not found or found not in choices:
            return False
        self.at += 1
        return True

    def skip_blanks(self) -> bool:
        """Step over white space; whether there was any."""
        start = self.at
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1
        return self.at > start

    def matched(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Step over what ``pattern`` finds right here."""
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return match

    @property
    def rest(self) -> str:
        """What is not read yet."""
        return self.text[self.at :]

    def number(self) -> int:
        """Read a number below 2^64 without leading zeros."""
        match = _DIGITS.match(self.text, self.at)
        if match is None:
            raise self.fail("expected a number")
        if len(match[0]) > 1 and match[0][0] == "0":
            raise self.fail("a number must not start with 0")
        if len(match[0]) > len(str(_LARGEST)) or int(match[0]) > _LARGEST:
            raise self.fail("the number is too large")
        self.at = match.end()
        return int(match[0])

    def prerelease(self) -> str:
        """Read ``-rc.1`` when it is there; its numbers have no leading zeros."""
        if not self.take("-"):
            return ""
        start = self.at
        text = self._identifiers()
        for part in text.split("."):
            if len(part) > 1 and part[0] == "0" and part.isdigit():
                raise self.fail("a number must not start with 0", start)
            start += len(part) + 1
        return text

    def build(self) -> str:
        """Read ``+build.5`` when it is there."""
        return self._identifiers() if self.take("+") else ""

    def end(self) -> None:
        """Expect that nothing is left."""
        if self.at != len(self.text):
            raise self.fail("unexpected text")

    def _identifiers(self) -> str:
        match = _IDENTIFIERS.match(self.text, self.at)
        if match is None:
            raise self.fail("expected letters, digits or -")
        self.at = match.end()
        return match[0]
