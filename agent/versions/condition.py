"""Reads one condition of a constraint in the dialects that people write (pure).

What stays refused says what to write instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.versions.comparator import Comparator
from agent.versions.prerelease import SUFFIX, prerelease_text
from agent.versions.reader import Reader

_WILDCARDS = "*xX"
_OPERATOR = re.compile(r"===|==|!=|~=|~>|>=|<=|=>|=<|>|<|=|~|\^|")
#: What people mean by an operator that isn't one.
_MEANT = {"=>": ">=", "=<": "<=", "===": "="}
#: Operators of other tools, and ours for them.
_DIALECTS = {"==": "=", "~>": "~="}
_NO_VERSIONS = ("latest", "any", "lts", "current", "stable")
_RANGE = re.compile(r"-\s+[vV]?[0-9]")
_WORD = re.compile(r"([A-Za-z]+)([0-9][0-9.]*)?")
_UPDATE = re.compile(r"_([0-9]{1,9})")


@dataclass(frozen=True)
class Condition:
    """``written`` is how many numbers were written; ``portable``: the reference's grammar means the same by it."""

    comparator: Comparator
    written: int
    portable: bool


def read_condition(reader: Reader, language: str | None) -> Condition:
    """Read the condition that begins here; stops behind it.

    Raises:
        VersionError: it can't be read.
    """
    start = reader.at
    written_operator = _operator(reader)
    operator = _DIALECTS.get(written_operator, written_operator)
    reader.skip_blanks()
    prefixed = reader.take("vV")
    if operator and not reader.rest:
        raise reader.fail(f"expected a version after {written_operator}")
    portable = written_operator not in ("==", "!=", "~=", "~>") and not (operator and prefixed)
    numbers, free = _numbers(reader, wildcards=_wildcards_allowed(reader, written_operator), operator=operator)
    written = len(numbers)
    numbers, legacy = _modern_java(reader, numbers, language)
    pre = _prerelease(reader, numbers) if written == 3 else ""
    if written == 3:
        reader.build()
    _expect_end(reader, start, operator, numbers)
    portable = portable and not legacy and not _dialect_prerelease(reader, start)
    return Condition(_comparator(operator, numbers, pre, free, written_operator), len(numbers), portable)


def _comparator(operator: str, numbers: list[int], pre: str, free: bool, written: str) -> Comparator:
    count = len(numbers)
    if written == "==" and free:
        return Comparator("~", tuple(numbers))
    if operator == "~=":
        padded = (*numbers, 0, 0)[:3]
        return Comparator("~=", padded, pre, fixed=max(count - 1, 1))
    if operator == "!=":
        return Comparator("!=", tuple(numbers), pre)
    # A lone major is the whole line of releases, with or without a tilde.
    if not free and not (operator in ("", "~") and count == 1):
        numbers = [*numbers, 0, 0][:3]
    return Comparator(operator or "~", tuple(numbers), pre)


def _operator(reader: Reader) -> str:
    at = reader.at
    match = reader.matched(_OPERATOR)
    operator = match[0] if match else ""
    if operator in _MEANT:
        raise reader.fail(f"{operator} is not an operator; write {_MEANT[operator]}", at)
    if not operator:
        _refuse_words(reader)
    return operator


def _refuse_words(reader: Reader) -> None:
    """A word instead of a version: say what to write."""
    word = _WORD.match(reader.rest)
    if reader.rest[:1] in ("v", "V") and reader.rest[1:2].isdigit():
        return
    if word is not None and word[2]:
        raise reader.fail(f"leave out the name of the runtime; write {word[2]}")
    if word is not None and word[1].lower() in _NO_VERSIONS:
        raise reader.fail(f"{word[1]} is not a version; write * for any, or >= with the oldest that will do")
    if reader.rest and reader.rest[0] in _WILDCARDS:
        raise reader.fail("a wildcard must stand alone or follow a dot; remove it")
    if reader.rest and not reader.rest[0].isdigit():
        raise reader.fail("expected one of = != > >= < <= ~ ~= ^ or a version")


def _wildcards_allowed(reader: Reader, operator: str) -> bool:
    """Whether a wildcard may come.

    Behind an operator the reference fills up to three components first: ``>=3.x`` is an error, ``>=3.12.x`` isn't.
    """
    return operator in ("", "==", "!=") or re.split(r"[\s,|]", reader.rest, maxsplit=1)[0].count(".") > 1


def _numbers(reader: Reader, *, wildcards: bool, operator: str) -> tuple[list[int], bool]:
    """Read ``3``, ``3.12``, ``3.12.1``; ``3.x`` and ``3.12.*`` where ``wildcards`` are allowed."""
    numbers = [reader.number()]
    free = False
    for _ in range(2):
        if not reader.take("."):
            break
        if reader.rest[:1] and reader.rest[0] in _WILDCARDS:
            if not wildcards:
                text = ".".join(map(str, numbers))
                meant = f"{text}.x" if operator in ("^", "~", "~=", "=") else f"{operator}{text}"
                raise reader.fail(f"a wildcard has no meaning after {operator}; write {meant}")
            reader.take(_WILDCARDS)
            free = True
        elif free:
            raise reader.fail("only a wildcard may follow a wildcard")
        else:
            numbers.append(reader.number())
    return numbers, free


def _modern_java(reader: Reader, numbers: list[int], language: str | None) -> tuple[list[int], bool]:
    """Java's ``1.8`` is 8, and ``1.8.0_392`` is 8.0.392."""
    update = reader.matched(_UPDATE) if len(numbers) == 3 and numbers[0] == 1 else None
    if update is not None:
        return [*numbers[1:], int(update[1])], True
    if language == "java" and numbers[0] == 1 and len(numbers) > 1 and numbers[1]:
        return numbers[1:], True
    return numbers, False


def _prerelease(reader: Reader, numbers: list[int]) -> str:
    if len(numbers) < 3:
        return ""
    suffix = reader.matched(SUFFIX)
    return prerelease_text(suffix[1], suffix[2]) if suffix else reader.prerelease()


def _dialect_prerelease(reader: Reader, start: int) -> bool:
    """Whether a pre-release was written as Python does (``3.13.0rc2``)."""
    return re.search(r"[0-9][A-Za-z]", reader.text[start : reader.at].split("-")[0].split("+")[0]) is not None


def _expect_end(reader: Reader, start: int, operator: str, numbers: list[int]) -> None:
    """Expect a blank or the end behind a condition."""
    full = ".".join(map(str, [*numbers, 0, 0][:3]))
    if reader.rest[:1] == ".":
        raise reader.fail(f"a version has at most three numbers here; write {operator}{full}")
    if reader.rest[:1] == "-":
        raise reader.fail(f"a pre-release needs all three numbers; write {operator}{full}{reader.rest.split()[0]}")
    if reader.rest and not reader.rest[0].isspace():
        raise reader.fail("unexpected text")
    at = reader.at
    reader.skip_blanks()
    if _RANGE.match(reader.rest):
        first, last = reader.text[start:at].strip(), reader.rest[1:].split()[0]
        raise reader.fail(f"write a range as >={first}, <={last}")
    if reader.rest[:1] in _WILDCARDS and reader.rest:
        raise reader.fail("a wildcard must stand alone or follow a dot; remove it")
