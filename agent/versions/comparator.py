"""One condition of a constraint, such as ``>=3.12`` (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from agent.versions.version import Version, prerelease_key


@dataclass(frozen=True)
class Comparator:
    """One condition; ``given`` holds one to three numbers, those left out are free.

    ``fixed`` is how many numbers ``~=`` holds fixed.
    """

    operator: str
    given: tuple[int, ...]
    pre: str = ""
    fixed: int = 2

    def accepts(self, version: Version) -> bool:
        """Whether ``version`` meets it, the rule about pre-releases aside."""
        match self.operator:
            case "=":
                return self._equal(version)
            case "!=":
                return not self._equal(version)
            case ">":
                return self._compare(version) > 0
            case ">=":
                return self._equal(version) or self._compare(version) > 0
            case "<":
                return self._compare(version) < 0
            case "<=":
                return self._equal(version) or self._compare(version) < 0
            case "~" | "~=":
                return self._compatible(version, self.fixed)
            case _:
                return self._compatible(version, fixed=self._significant())

    def names(self, version: Version) -> bool:
        """Whether it asks for a pre-release of the very release that ``version`` leads to."""
        return bool(self.pre) and self.operator != "!=" and self.given == version.numbers

    def _equal(self, version: Version) -> bool:
        if self.given != version.numbers[: len(self.given)]:
            return False
        return self.pre == version.pre or (self.operator == "!=" and len(self.given) < 3)

    def _compare(self, version: Version) -> int:
        """-1: ``version`` is below everything that starts with the given numbers, 1: above, 0: among it."""
        mine, its = self.given, version.numbers[: len(self.given)]
        if mine != its:
            return 1 if its > mine else -1
        if len(mine) < 3:
            return 0
        its_pre, my_pre = prerelease_key(version.pre), prerelease_key(self.pre)
        return (its_pre > my_pre) - (its_pre < my_pre)

    def _significant(self) -> int:
        """How many numbers a caret holds fixed: up to and including the first that isn't zero."""
        return next((index + 1 for index, number in enumerate(self.given) if number), len(self.given))

    def _compatible(self, version: Version, fixed: int) -> bool:
        """Whether the first ``fixed`` numbers are the same and ``version`` isn't older."""
        mine, its = self.given, version.numbers[: len(self.given)]
        if mine[:fixed] != its[:fixed] or its < mine:
            return False
        return its > mine or prerelease_key(version.pre) >= prerelease_key(self.pre)
