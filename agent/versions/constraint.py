"""Which versions ``>=3.11,<4`` accepts (pure).

Conditions that are separated by commas or blanks must all hold; ``||`` between them means or, and binds loosest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from agent.errors import VersionError
from agent.versions.comparator import Comparator
from agent.versions.condition import Condition, read_condition
from agent.versions.reader import Reader
from agent.versions.vendors import is_legacy_java
from agent.versions.version import Version, parse_version

_MOST_COMPARATORS = 32
_LONGEST = 1000
_WILDCARDS = "*xX"


@dataclass(frozen=True)
class Constraint:
    """Alternatives of conditions that must all hold; without any, every release is accepted.

    ``precision`` is how many numbers the most precise condition names: ``<3.12.5`` asks for more than a row that
    only says ``3.12`` can answer. ``portable`` is false when only we understand it: Attune's own executor would refuse
    it.
    """

    text: str
    alternatives: tuple[tuple[Comparator, ...], ...] = ((),)
    precision: int = 0
    portable: bool = True

    def accepts(self, version: Version) -> bool:
        """Whether ``version`` meets an alternative; a pre-release must be asked for by the number of its release."""
        return any(_all_accept(comparators, version) for comparators in self.alternatives)


def _all_accept(comparators: tuple[Comparator, ...], version: Version) -> bool:
    if not all(comparator.accepts(version) for comparator in comparators):
        return False
    return not version.pre or any(comparator.names(version) for comparator in comparators)


@lru_cache(maxsize=1024)
def parse_constraint(text: str, language: str | None = None) -> Constraint:
    """Read a constraint; an empty one accepts every release.

    ``language`` is the canonical name of the runtime that it is about, where that is known: Java's ``1.N`` is ``N``.

    Raises:
        VersionError: it isn't one; the message points at the offending character and says what to write instead.
    """
    if len(text) > _LONGEST:
        raise VersionError(f"invalid constraint {text[:40]!r}…: it has more than {_LONGEST} characters")
    parts = list(_split(text, "||"))
    alternatives = [_alternative(text, part, at, language, alone=len(parts) == 1) for part, at in parts]
    read = [condition for conditions in alternatives for condition in conditions]
    if len(read) > _MOST_COMPARATORS:
        raise VersionError(f"invalid constraint {text!r}: it has more than {_MOST_COMPARATORS} conditions")
    return Constraint(
        text.strip(),
        tuple(tuple(condition.comparator for condition in conditions) for conditions in alternatives),
        max((condition.written for condition in read), default=0),
        len(parts) == 1 and all(condition.portable for condition in read) and not _blank_separated(text),
    )


def matches_constraint(version: str, constraint: str, language: str | None = None) -> bool:
    """Whether the constraint accepts the version.

    Raises:
        VersionError: one of them is malformed.
    """
    meant = "java" if is_legacy_java(version) else language
    return parse_constraint(constraint, meant).accepts(parse_version(version, meant))


def _alternative(text: str, part: str, at: int, language: str | None, *, alone: bool) -> list[Condition]:
    pieces = [(piece, offset) for piece, offset in _split(part, ",", at) if piece.strip()]
    if not alone and not pieces:
        raise Reader("", "constraint", text, at).fail("expected a condition on both sides of ||")
    if not pieces or (len(pieces) == 1 and pieces[0][0].strip() in tuple(_WILDCARDS)):
        return []
    return [condition for piece, offset in pieces for condition in _conditions(text, piece, offset, language)]


def _conditions(text: str, piece: str, offset: int, language: str | None) -> Iterator[Condition]:
    reader = Reader(piece.rstrip(), "constraint", text, offset)
    reader.skip_blanks()
    while reader.rest:
        yield read_condition(reader, language)


def _split(text: str, separator: str, at: int = 0) -> Iterator[tuple[str, int]]:
    """The pieces between separators, and where each begins in the whole."""
    for piece in text.split(separator):
        yield piece, at
        at += len(piece) + len(separator)


def _blank_separated(text: str) -> bool:
    """Whether blanks alone stand between two conditions."""
    return any(re.search(r"[0-9*xX]\s+\S", piece.strip()) for piece in text.split(","))
