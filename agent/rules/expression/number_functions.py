"""The functions about numbers (pure)."""

from __future__ import annotations

import math
import re
from typing import Any

from agent.rules.expression.argument_checks import need, ordered, whole_number
from agent.rules.expression.values import ExpressionError, checked_number, require_items

_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?\s*")


def number(value: Any) -> Any:
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise ExpressionError("number() can't read this string as a number", kind="string")
        return checked_number(float(value) if any(c in value for c in ".eE") else int(value))
    if isinstance(value, bool):
        return int(value)
    return need("number", value, "number")


def int_(value: Any) -> Any:
    return checked_number(math.trunc(number(value)))


def bool_(value: Any) -> Any:
    return bool(value)


def abs_(value: Any) -> Any:
    return checked_number(abs(need("abs", value, "number")))


def floor(value: Any) -> Any:
    return checked_number(math.floor(need("floor", value, "number")))


def ceil(value: Any) -> Any:
    return checked_number(math.ceil(need("ceil", value, "number")))


def round_(value: Any, digits: Any = 0) -> Any:
    places = whole_number("round", digits)
    if not 0 <= places <= 15:
        raise ExpressionError("round() takes 0 to 15 digits")
    rounded = round(need("round", value, "number"), places)
    return checked_number(int(rounded) if places == 0 else rounded)


def _several(name: str, values: tuple[Any, ...]) -> list[Any]:
    items = values[0] if len(values) == 1 else list(values)
    return ordered(name, need(name, items, "array"))


def min_(*values: Any) -> Any:
    return min(_several("min", values), default=None)


def max_(*values: Any) -> Any:
    return max(_several("max", values), default=None)


def sum_(items: Any) -> Any:
    total: float = 0
    for item in need("sum", items, "array"):
        total = checked_number(total + need("sum", item, "number"))
    return total


def range_(first: Any, end: Any = None, step: Any = 1) -> Any:
    start, stop = (
        (0, whole_number("range", first)) if end is None else (whole_number("range", first), whole_number("range", end))
    )
    if whole_number("range", step) == 0:
        raise ExpressionError("range() can't go on by 0")
    numbers = range(start, stop, step)
    # len() of a range beyond 64 bits raises; the limit is asked first.
    require_items(max(0, -(-(stop - start) // step)))
    return list(numbers)
