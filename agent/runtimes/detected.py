"""The interpreters that were found on this machine (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class DetectedInterpreter:
    """One interpreter that was found on this machine.

    ``name`` is canonical (``shell``, ``python``, ``node``…), ``path`` is as found (symlinks unresolved, shims
    followed), ``version`` is None for a shell that tells none. With a ``problem`` it is no interpreter after all.
    """

    name: str
    path: str
    version: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Detection:
    """``found`` are all usable interpreters, of each language the one that its plain name means first.

    ``unusable`` are files with an interpreter's name that run nothing; their ``problem`` says why.
    """

    found: tuple[DetectedInterpreter, ...] = ()
    unusable: tuple[DetectedInterpreter, ...] = ()

    @property
    def first(self) -> tuple[DetectedInterpreter, ...]:
        """One interpreter of each language, in the order of detection."""
        names: dict[str, DetectedInterpreter] = {}
        for item in self.found:
            names.setdefault(item.name, item)
        return tuple(names.values())

    def others(self, name: str) -> Iterator[DetectedInterpreter]:
        """Yield the further versions of a language, the newest first."""
        mine = [item for item in self.found if item.name == name]
        yield from mine[1:]
