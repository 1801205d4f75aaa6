"""JSON values in expressions: their types' names, what is equal, and the limits on size (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LONGEST_TEXT = 64 * 1024
"""Characters of a text that an expression makes."""

MOST_ITEMS = 10_000
"""Items of a list that an expression makes, and keys of an object."""

_LARGEST = 2**63


class ExpressionError(ValueError):
    """An expression can't be read, or has no value here. ``path`` is what was looked at, ``kind`` its type."""

    def __init__(self, message: str, *, path: str = "", kind: str = "") -> None:
        """``message`` is a sentence that holds no value of the event."""
        super().__init__(message)
        self.path = path
        self.kind = kind


def kind_of(value: Any) -> str:
    """Return the name of a value's JSON type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def truth(value: Any) -> bool:
    """Whether a value counts as true: not null, false, 0, and nothing that is empty."""
    return bool(value)


def equal(left: Any, right: Any) -> bool:
    """Whether two values are equal: numbers by what they are worth, everything else only within one type."""
    kind = kind_of(left)
    if kind != kind_of(right):
        return False
    if kind == "array":
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    if kind == "object":
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    return bool(left == right)


def checked_number(value: float) -> float:
    """Return a number that arithmetic gave. Raises ExpressionError beyond 64 bits."""
    if isinstance(value, int):
        if not -_LARGEST <= value < _LARGEST:
            raise ExpressionError("arithmetic: the result does not fit into 64 bits")
    elif value - value != 0:
        raise ExpressionError("arithmetic: the result is not a finite number")
    return value


def require_text(length: int) -> None:
    """Refuse a text before it is made. Raises ExpressionError."""
    if length > LONGEST_TEXT:
        raise ExpressionError(f"size: the text would be longer than {LONGEST_TEXT} characters")


def require_items(count: int) -> None:
    """Refuse a list before it is made. Raises ExpressionError."""
    if count > MOST_ITEMS:
        raise ExpressionError(f"size: the list would have more than {MOST_ITEMS} items")


def leaves(value: Any) -> Iterator[Any]:
    """Yield a value and everything in it, without recursion."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        yield found
        if isinstance(found, dict):
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
