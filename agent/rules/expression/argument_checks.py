"""What functions ask of their arguments, each with the same words (pure)."""

from __future__ import annotations

from typing import Any

from agent.rules.expression.values import ExpressionError, kind_of


def need(name: str, value: Any, *kinds: str) -> Any:
    """Return a value that is of one of these kinds. Raises ExpressionError, which names the function."""
    if kind_of(value) not in kinds:
        raise ExpressionError(f"{name}() needs {' or '.join(kinds)}, not {kind_of(value)}", kind=kind_of(value))
    return value


def whole_number(name: str, value: Any) -> int:
    """Return a value that is a whole number. Raises ExpressionError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ExpressionError(f"{name}() needs a whole number, not {kind_of(value)}", kind=kind_of(value))
    return value


def ordered(name: str, items: list[Any]) -> list[Any]:
    """Return items that have an order: numbers, or strings. Raises ExpressionError."""
    kinds = sorted({kind_of(item) for item in items})
    if len(kinds) > 1 or (kinds and kinds[0] not in ("number", "string")):
        raise ExpressionError(f"{name}() needs numbers only or strings only, not {' and '.join(kinds)}")
    return items
