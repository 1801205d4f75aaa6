"""Which versions ``>=3.11,<4`` accepts (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from agent.errors import VersionError
from agent.versions.reader import Reader
from agent.versions.version import Version, parse_version, prerelease_key

_MOST_COMPARATORS = 32
_WILDCARDS = "*xX"
_OPERATORS = ("=", ">", ">=", "<", "<=", "~", "^")
_FIRST_DIGIT = re.compile(r"[0-9]|\Z")


@dataclass(frozen=True)
class Comparator:
    """One condition; ``given`` holds one to three numbers, those left out are free."""

    operator: str
    given: tuple[int, ...]
    pre: str = ""

    def accepts(self, version: Version) -> bool:
        """Whether ``version`` meets it, the rule about pre-releases aside."""
        match self.operator:
            case "=":
                return self._equal(version)
            case ">":
                return self._compare(version) > 0
            case ">=":
                return self._equal(version) or self._compare(version) > 0
            case "<":
                return self._compare(version) < 0
            case "<=":
                return self._equal(version) or self._compare(version) < 0
            case "~":
                return self._compatible(version, fixed=2)
            case _:
                return self._compatible(version, fixed=self._significant())

    def names(self, version: Version) -> bool:
        """Whether it asks for a pre-release of the very release that ``version`` leads to."""
        return bool(self.pre) and self.given == version.numbers

    def _equal(self, version: Version) -> bool:
        return self.given == version.numbers[: len(self.given)] and self.pre == version.pre

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


@dataclass(frozen=True)
class Constraint:
    """Conditions that must all hold; without any, every release is accepted.

    ``precision`` is how many numbers the most precise condition names: ``<3.12.5`` asks for more than a row that
    only says ``3.12`` can answer.
    """

    text: str
    comparators: tuple[Comparator, ...] = ()
    precision: int = 0

    def accepts(self, version: Version) -> bool:
        """Whether ``version`` meets all; a pre-release must be asked for by the number of its own release."""
        if not all(comparator.accepts(version) for comparator in self.comparators):
            return False
        return not version.pre or any(comparator.names(version) for comparator in self.comparators)


@lru_cache(maxsize=1024)
def parse_constraint(text: str) -> Constraint:
    """Read a constraint; an empty one accepts every release.

    Raises:
        VersionError: it isn't one; the message points at the offending character.
    """
    pieces = [(piece, at) for piece, at in _pieces(text) if piece]
    if not pieces or (len(pieces) == 1 and pieces[0][0] in tuple(_WILDCARDS)):
        return Constraint(text.strip())
    if len(pieces) > _MOST_COMPARATORS:
        raise VersionError(f"bad constraint {text!r}: it has more than {_MOST_COMPARATORS} conditions")
    read = [_condition(Reader(piece, "constraint", text, at)) for piece, at in pieces]
    return Constraint(text.strip(), tuple(item for item, _ in read), max(written for _, written in read))


def matches_constraint(version: str, constraint: str) -> bool:
    """Whether the constraint accepts the version.

    Raises:
        VersionError: one of them is malformed.
    """
    return parse_constraint(constraint).accepts(parse_version(version))


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    """The comma-separated pieces without white space around them, and where each begins."""
    at = 0
    for piece in text.split(","):
        yield piece.strip(), at + len(piece) - len(piece.lstrip())
        at += len(piece) + 1


def _condition(reader: Reader) -> tuple[Comparator, int]:
    """Read one condition; return it and how many numbers were written."""
    operator = _operator(reader)
    numbers = _numbers(reader, wildcards=operator == "" or reader.text.count(".", reader.at) > 1)
    written = len(numbers)
    free = reader.text[reader.at - 1] in _WILDCARDS
    pre = reader.prerelease() if written == 3 else ""
    if written == 3:
        reader.build()
    reader.end()
    # R1: a lone major is the whole line of releases, with or without a tilde.
    if not free and not (operator in ("", "~") and written == 1):
        numbers += [0] * (3 - written)
    return Comparator(operator or "~", tuple(numbers), pre), written


def _operator(reader: Reader) -> str:
    """Read the operator; empty where the condition begins with its version."""
    if reader.take("vV"):
        return ""
    found = _FIRST_DIGIT.search(reader.text)
    reader.at = found.start() if found else 0
    operator = reader.text[: reader.at].strip()
    if operator and operator not in _OPERATORS:
        raise reader.fail("one of = > >= < <= ~ ^ or a version was expected", 0)
    return operator


def _numbers(reader: Reader, *, wildcards: bool) -> list[int]:
    """Read ``3``, ``3.12``, ``3.12.1``; ``3.x`` and ``3.12.*`` where ``wildcards`` are allowed.

    Behind an operator the reference fills up to three components first: there ``>=3.x`` is an error and
    ``>=3.12.x`` isn't.
    """
    numbers = [reader.number()]
    free = False
    for _ in range(2):
        if not reader.take("."):
            break
        if wildcards and reader.take(_WILDCARDS):
            free = True
        elif free:
            raise reader.fail("only a wildcard may follow a wildcard")
        else:
            numbers.append(reader.number())
    return numbers
