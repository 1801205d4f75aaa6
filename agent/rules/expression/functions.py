"""The functions that an expression may call: each checks the types of its arguments, and sizes before it builds (pure).

The names are those that rules of existing packs use.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import math
import re
from collections.abc import Callable
from typing import Any

from agent.reading.patterns import PatternError, search
from agent.rules.expression.values import (
    ExpressionError,
    checked_number,
    equal,
    kind_of,
    leaves,
    require_items,
    require_text,
)

MATCH_SECONDS = 0.05
"""How long one pattern may search."""

FUNCTIONS: dict[str, Callable[..., Any]] = {}
_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?\s*")


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    FUNCTIONS[function.__name__.strip("_")] = function
    return function


def call(name: str, arguments: list[Any]) -> Any:
    """Call a function by its name.

    Raises:
        ExpressionError: there is none, or it can't be called so.
    """
    function = FUNCTIONS[name]
    least, most = arity(name)
    if not least <= len(arguments) <= most:
        wanted = str(least) if least == most else f"{least} to {most}" if most < 100 else f"at least {least}"
        raise ExpressionError(f"{name}() takes {wanted} arguments, not {len(arguments)}")
    return function(*arguments)


@functools.cache
def arity(name: str) -> tuple[int, int]:
    """Return how few and how many arguments a function takes."""
    parameters = inspect.signature(FUNCTIONS[name]).parameters.values()
    least = sum(p.default is p.empty and p.kind is not p.VAR_POSITIONAL for p in parameters)
    return least, 100 if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(parameters)


def _need(name: str, value: Any, *kinds: str) -> Any:
    if kind_of(value) not in kinds:
        raise ExpressionError(f"{name}() needs {' or '.join(kinds)}, not {kind_of(value)}", kind=kind_of(value))
    return value


def _index(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ExpressionError(f"{name}() needs a whole number, not {kind_of(value)}", kind=kind_of(value))
    return value


def _ordered(name: str, items: list[Any]) -> list[Any]:
    kinds = sorted({kind_of(item) for item in items})
    if len(kinds) > 1 or (kinds and kinds[0] not in ("number", "string")):
        raise ExpressionError(f"{name}() needs numbers only or strings only, not {' and '.join(kinds)}")
    return items


def as_text(value: Any) -> str:
    """Return a value as text: strings as they are, everything else as JSON. Raises ExpressionError."""
    if isinstance(value, str):
        return value
    total = 0
    for found in leaves(value):
        total += len(found) + 2 if isinstance(found, str) else 8
        require_text(total)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    require_text(len(text))
    return text


@_function
def string(value: Any) -> Any:
    return as_text(value)


@_function
def number(value: Any) -> Any:
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise ExpressionError("number() can't read this string as a number", kind="string")
        return checked_number(float(value) if any(c in value for c in ".eE") else int(value))
    if isinstance(value, bool):
        return int(value)
    return _need("number", value, "number")


@_function
def int_(value: Any) -> Any:
    return checked_number(math.trunc(number(value)))


@_function
def bool_(value: Any) -> Any:
    return bool(value)


@_function
def type_of(value: Any) -> Any:
    return kind_of(value)


@_function
def length(value: Any) -> Any:
    return len(_need("length", value, "string", "array", "object"))


@_function
def keys(value: Any) -> Any:
    return list(_need("keys", value, "object"))


@_function
def values(value: Any) -> Any:
    return list(_need("values", value, "object").values())


@_function
def abs_(value: Any) -> Any:
    return checked_number(abs(_need("abs", value, "number")))


@_function
def floor(value: Any) -> Any:
    return checked_number(math.floor(_need("floor", value, "number")))


@_function
def ceil(value: Any) -> Any:
    return checked_number(math.ceil(_need("ceil", value, "number")))


@_function
def round_(value: Any, digits: Any = 0) -> Any:
    places = _index("round", digits)
    if not 0 <= places <= 15:
        raise ExpressionError("round() takes 0 to 15 digits")
    rounded = round(_need("round", value, "number"), places)
    return checked_number(int(rounded) if places == 0 else rounded)


def _several(name: str, values: tuple[Any, ...]) -> list[Any]:
    items = values[0] if len(values) == 1 else list(values)
    return _ordered(name, _need(name, items, "array"))


@_function
def min_(*values: Any) -> Any:
    return min(_several("min", values), default=None)


@_function
def max_(*values: Any) -> Any:
    return max(_several("max", values), default=None)


@_function
def sum_(items: Any) -> Any:
    total: float = 0
    for item in _need("sum", items, "array"):
        total = checked_number(total + _need("sum", item, "number"))
    return total


@_function
def lower(text: Any) -> Any:
    return _need("lower", text, "string").lower()


@_function
def upper(text: Any) -> Any:
    return _need("upper", text, "string").upper()


@_function
def trim(text: Any) -> Any:
    return _need("trim", text, "string").strip()


@_function
def split(text: Any, separator: Any = " ") -> Any:
    text, separator = _need("split", text, "string"), _need("split", separator, "string")
    if not separator:
        require_items(len(text))
        return list(text)
    require_items(text.count(separator) + 1)
    return text.split(separator)


@_function
def join(items: Any, separator: Any = "") -> Any:
    items, separator = _need("join", items, "array"), _need("join", separator, "string")
    texts = []
    total = 0
    for item in items:
        texts.append(as_text(item))
        total += len(texts[-1]) + len(separator)
        require_text(total - len(separator))
    return separator.join(texts)


@_function
def replace(text: Any, old: Any, new: Any) -> Any:
    text, old, new = (_need("replace", value, "string") for value in (text, old, new))
    if not old:
        raise ExpressionError("replace() can't look for an empty string")
    require_text(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


@_function
def starts_with(text: Any, start: Any) -> Any:
    return _need("starts_with", text, "string").startswith(_need("starts_with", start, "string"))


@_function
def ends_with(text: Any, end: Any) -> Any:
    return _need("ends_with", text, "string").endswith(_need("ends_with", end, "string"))


@_function
def match(pattern: Any, text: Any) -> Any:
    pattern, text = _need("match", pattern, "string"), _need("match", text, "string")
    try:
        return search(pattern, text, timeout=MATCH_SECONDS)
    except PatternError as error:
        raise ExpressionError(f"match(): the pattern {error}") from None


@_function
def contains(whole: Any, part: Any) -> Any:
    return within(part, whole, "contains()")


def within(part: Any, whole: Any, what: str = "in") -> bool:
    """Whether ``whole`` has a part: an item of a list, a key of an object, a piece of a text.

    Raises ExpressionError.
    """
    kind = kind_of(whole)
    if kind == "array":
        return any(equal(part, item) for item in whole)
    if kind in ("object", "string"):
        if not isinstance(part, str):
            raise ExpressionError(f"{what} looks for a string in this {kind}, not for {kind_of(part)}", kind=kind)
        return part in whole
    raise ExpressionError(f"{what} needs string, array or object, not {kind}", kind=kind)


@_function
def reversed_(value: Any) -> Any:
    return _need("reversed", value, "string", "array")[::-1]


@_function
def sort(items: Any) -> Any:
    return sorted(_ordered("sort", _need("sort", items, "array")))


@_function
def unique(items: Any) -> Any:
    seen: set[Any] = set()
    kept = []
    for item in _need("unique", items, "array"):
        kind = kind_of(item)
        mark = (kind, item if kind not in ("array", "object") else json.dumps(_plain(item), sort_keys=True))
        if mark not in seen:
            seen.add(mark)
            kept.append(item)
    return kept


def _plain(value: Any) -> Any:
    """Write whole floats as integers, so that equal values have one text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


@_function
def flat(items: Any) -> Any:
    found: list[Any] = []
    for item in _need("flat", items, "array"):
        found.extend(item if isinstance(item, list) else [item])
        require_items(len(found))
    return found


@_function
def zip_(left: Any, right: Any) -> Any:
    return [list(pair) for pair in zip(_need("zip", left, "array"), _need("zip", right, "array"), strict=False)]


@_function
def range_(first: Any, end: Any = None, step: Any = 1) -> Any:
    start, stop = (0, _index("range", first)) if end is None else (_index("range", first), _index("range", end))
    if _index("range", step) == 0:
        raise ExpressionError("range() can't go on by 0")
    numbers = range(start, stop, step)
    # len() of a range beyond 64 bits raises; the limit is asked first.
    require_items(max(0, -(-(stop - start) // step)))
    return list(numbers)


@_function
def slice_(value: Any, start: Any, end: Any = None) -> Any:
    value = _need("slice", value, "string", "array")
    return value[_index("slice", start) : None if end is None else _index("slice", end)]


@_function
def index_of(whole: Any, part: Any) -> Any:
    if isinstance(_need("index_of", whole, "string", "array"), str):
        return whole.find(_need("index_of", part, "string"))
    return next((index for index, item in enumerate(whole) if equal(item, part)), -1)


@_function
def count(whole: Any, part: Any) -> Any:
    if isinstance(_need("count", whole, "string", "array"), str):
        return whole.count(_need("count", part, "string"))
    return sum(equal(item, part) for item in whole)


@_function
def merge(*objects: Any) -> Any:
    merged: dict[str, Any] = {}
    for found in objects:
        merged |= _need("merge", found, "object")
        require_items(len(merged))
    return merged


@_function
def chunks(items: Any, size: Any) -> Any:
    if _index("chunks", size) < 1:
        raise ExpressionError("chunks() needs a size of at least 1")
    walk = iter(_need("chunks", items, "array"))
    return list(iter(lambda: list(itertools.islice(walk, size)), []))
