"""Which of several versions to take (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from agent.errors import VersionError
from agent.versions.constraint import parse_constraint
from agent.versions.version import Version, parse_version

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


def select_best_version(candidates: Sequence[_C], constraint: str | None) -> _C | None:
    """Return the highest available candidate that meets the constraint, None when there is none.

    Without a constraint the first available default wins, then the highest. Of equal ones the first is taken;
    candidates whose version can't be read are passed over unless one is the default.

    Raises:
        VersionError: the constraint is malformed.
    """
    available = [candidate for candidate in candidates if candidate.available]
    if constraint is not None and constraint.strip():
        wanted = parse_constraint(constraint)
        return _highest((item, version) for item, version in _readable(available) if wanted.accepts(version))
    default = next((candidate for candidate in available if candidate.is_default), None)
    return default or _highest(_readable(available))


def matches_row(row: str, advertised: str) -> bool:
    """Whether an interpreter of version ``advertised`` is the one that a row of version ``row`` means (R2).

    Equal, or the row's components are a prefix: ``3.12`` is ``3.12.13`` but ``3.1`` isn't ``3.12``.
    """
    mine, its = _RELEASE.fullmatch(row.strip()), _RELEASE.fullmatch(advertised.strip())
    if mine is None or its is None:
        return row.strip() == advertised.strip()
    my_numbers, its_numbers = mine[1].split("."), its[1].split(".")
    if mine[2]:
        return my_numbers == its_numbers and mine[2] == its[2]
    if its[2].startswith("-") and len(my_numbers) > 2:
        return False
    padded = [*its_numbers, "0", "0"] if not its[2] else its_numbers
    return padded[: len(my_numbers)] == my_numbers and len(padded) >= len(my_numbers)


def _readable(candidates: Iterable[_C]) -> Iterable[tuple[_C, Version]]:
    for candidate in candidates:
        try:
            yield candidate, parse_version(candidate.version)
        except VersionError:
            continue


def _highest(candidates: Iterable[tuple[_C, Version]]) -> _C | None:
    best = max(candidates, key=lambda pair: pair[1], default=None)
    return best[0] if best else None
