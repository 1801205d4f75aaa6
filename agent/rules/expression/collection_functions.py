"""The functions about lists and objects, and those that strings share with them (pure)."""

from __future__ import annotations

import itertools
import json
from typing import Any

from agent.rules.expression.argument_checks import need, ordered, whole_number
from agent.rules.expression.values import ExpressionError, equal, kind_of, require_items


def type_of(value: Any) -> Any:
    return kind_of(value)


def length(value: Any) -> Any:
    return len(need("length", value, "string", "array", "object"))


def keys(value: Any) -> Any:
    return list(need("keys", value, "object"))


def values(value: Any) -> Any:
    return list(need("values", value, "object").values())


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


def reversed_(value: Any) -> Any:
    return need("reversed", value, "string", "array")[::-1]


def sort(items: Any) -> Any:
    return sorted(ordered("sort", need("sort", items, "array")))


def unique(items: Any) -> Any:
    seen: set[Any] = set()
    kept = []
    for item in need("unique", items, "array"):
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


def flat(items: Any) -> Any:
    found: list[Any] = []
    for item in need("flat", items, "array"):
        found.extend(item if isinstance(item, list) else [item])
        require_items(len(found))
    return found


def zip_(left: Any, right: Any) -> Any:
    return [list(pair) for pair in zip(need("zip", left, "array"), need("zip", right, "array"), strict=False)]


def slice_(value: Any, start: Any, end: Any = None) -> Any:
    value = need("slice", value, "string", "array")
    return value[whole_number("slice", start) : None if end is None else whole_number("slice", end)]


def index_of(whole: Any, part: Any) -> Any:
    if isinstance(need("index_of", whole, "string", "array"), str):
        return whole.find(need("index_of", part, "string"))
    return next((index for index, item in enumerate(whole) if equal(item, part)), -1)


def count(whole: Any, part: Any) -> Any:
    if isinstance(need("count", whole, "string", "array"), str):
        return whole.count(need("count", part, "string"))
    return sum(equal(item, part) for item in whole)


def merge(*objects: Any) -> Any:
    merged: dict[str, Any] = {}
    for found in objects:
        merged |= need("merge", found, "object")
        require_items(len(merged))
    return merged


def chunks(items: Any, size: Any) -> Any:
    if whole_number("chunks", size) < 1:
        raise ExpressionError("chunks() needs a size of at least 1")
    walk = iter(need("chunks", items, "array"))
    return list(iter(lambda: list(itertools.islice(walk, size)), []))
