"""Which of several versions to take (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from agent.errors import VersionError
from agent.versions.constraint import parse_constraint
from agent.versions.vendors import is_legacy_java
from agent.versions.version import Version, parse_version

_JAVA_ONE = re.compile(r"^1\.([1-9][0-9]?)(?![0-9])")
_JAVA_UPDATE = re.compile(r"^1\.([0-9]+)\.([0-9]+)_([0-9]+)")
_RELEASE = re.compile(r"[vV]?([0-9]+(?:\.[0-9]+)*)(.*)", re.DOTALL)


class Candidate(Protocol):
    """What the choice looks at."""

    @property
    def version(self) -> str: ...
    @property
    def is_default(self) -> bool: ...
    @property
    def available(self) -> bool: ...


_C = TypeVar("_C", bound=Candidate)


def select_best_version(candidates: Sequence[_C], constraint: str | None, language: str | None = None) -> _C | None:
    """Return the highest available candidate that meets the constraint, None when there is none.

    Without a constraint the first available default wins, then the highest. Of equal ones the first is taken;
    candidates whose version can't be read are passed over unless one is the default. ``language`` is the canonical
    name of their runtime, where that is known.

    Raises:
        VersionError: the constraint is malformed.
    """
    available = [candidate for candidate in candidates if candidate.available]
    if constraint is not None and constraint.strip():
        wanted = parse_constraint(constraint, language)
        return _highest((item, version) for item, version in _readable(available, language) if wanted.accepts(version))
    default = next((candidate for candidate in available if candidate.is_default), None)
    return default or _highest(_readable(available, language))


def matches_row(row: str, advertised: str, language: str | None = None) -> bool:
    """Whether an interpreter of version ``advertised`` is the one that a row of version ``row`` means.

    Equal, or the row's components are a prefix: ``3.12`` is ``3.12.13`` but ``3.1`` isn't ``3.12``; of Java, ``8`` and
    ``1.8`` are ``1.8.0_392``.
    """
    java = language == "java" or is_legacy_java(row) or is_legacy_java(advertised)
    mine, its = _RELEASE.fullmatch(_plain(row, java)), _RELEASE.fullmatch(_plain(advertised, java))
    if mine is None or its is None:
        return row.strip() == advertised.strip()
    my_numbers, its_numbers = mine[1].split("."), its[1].split(".")
    if mine[2]:
        return my_numbers == its_numbers and mine[2] == its[2]
    if its[2].startswith("-") and len(my_numbers) > 2:
        return False
    padded = [*its_numbers, "0", "0"] if not its[2] else its_numbers
    return padded[: len(my_numbers)] == my_numbers and len(padded) >= len(my_numbers)


def _plain(text: str, java: bool) -> str:
    """The text without white space; of Java without the ``1.`` that says nothing."""
    plain = text.strip()
    if not java:
        return plain
    return _JAVA_UPDATE.sub(r"\1.\2.\3", plain) if is_legacy_java(plain) else _JAVA_ONE.sub(r"\1", plain)


def _readable(candidates: Iterable[_C], language: str | None) -> Iterable[tuple[_C, Version]]:
    for candidate in candidates:
        try:
            yield candidate, parse_version(candidate.version, language)
        except VersionError:
            continue


def _highest(candidates: Iterable[tuple[_C, Version]]) -> _C | None:
    best = max(candidates, key=lambda pair: pair[1], default=None)
    return best[0] if best else None
