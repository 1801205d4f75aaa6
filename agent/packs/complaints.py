"""Collects everything that is wrong with a pack, so that its author reads all of it at once."""

from __future__ import annotations

from collections.abc import Iterable

from agent.packs.model import Problem


class Complaints:
    """Problems, which prevent the registration of a pack, and warnings, which don't."""

    def __init__(self) -> None:
        """Start with none."""
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []

    def add(self, problem: Problem) -> None:
        """Note a problem."""
        self._problems.append(problem)

    def warn(self, problem: Problem) -> None:
        """Note a warning."""
        self._warnings.append(problem)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems in order of file and line, each once."""
        return _ordered(self._problems)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """All warnings in order of file and line, each once."""
        return _ordered(self._warnings)


def _ordered(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(set(problems)))
