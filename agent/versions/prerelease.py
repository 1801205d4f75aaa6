"""Pre-releases as vendors write them (``rc2``, ``b1``, ``dev``), put into Semantic Versioning's words (pure)."""

from __future__ import annotations

import re

#: Words that mean "not released yet", and the one by which they are ordered.
_WORDS = {
    "a": "alpha",
    "alpha": "alpha",
    "b": "beta",
    "beta": "beta",
    "c": "rc",
    "rc": "rc",
    "pre": "pre",
    "preview": "preview",
    "dev": "dev",
    "devel": "dev",
    "development": "dev",
    "under": "dev",  # R: "4.5.0 Under development (unstable)"
    "unstable": "dev",
    "ea": "ea",
    "internal": "internal",
    "nightly": "nightly",
    "snapshot": "snapshot",
    "canary": "canary",
}
#: ``rc2``, ``beta.3``, ``preview1``, ``dev``: what may stand directly behind a number.
SUFFIX = re.compile(r"(a|alpha|b|beta|c|rc|pre|preview|dev|devel)\.?([0-9]{0,9})(?![0-9A-Za-z])", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]+")


def prerelease_text(word: str, number: str = "") -> str:
    """Return ``rc.2`` for ``rc`` and ``2``: identifiers that order as their vendor orders them."""
    known = _WORDS.get(word.lower(), word.lower())
    return f"{known}.{int(number)}" if number else known


def is_prerelease_word(text: str) -> bool:
    """Whether ``text`` begins with a word that means "not released yet"."""
    word = _WORD.match(text)
    return word is not None and word[0].lower() in _WORDS
