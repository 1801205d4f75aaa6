"""The functions about strings (pure)."""

from __future__ import annotations

import json
from typing import Any

from agent.reading.patterns import PatternError, search
from agent.rules.expression.argument_checks import need
from agent.rules.expression.values import ExpressionError, leaves, require_items, require_text

MATCH_SECONDS = 0.05
"""How long one pattern may search."""


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


def string(value: Any) -> Any:
    return as_text(value)


def lower(text: Any) -> Any:
    return need("lower", text, "string").lower()


def upper(text: Any) -> Any:
    return need("upper", text, "string").upper()


def trim(text: Any) -> Any:
    return need("trim", text, "string").strip()


def split(text: Any, separator: Any = " ") -> Any:
    text, separator = need("split", text, "string"), need("split", separator, "string")
    if not separator:
        require_items(len(text))
        return list(text)
    require_items(text.count(separator) + 1)
    return text.split(separator)


def join(items: Any, separator: Any = "") -> Any:
    items, separator = need("join", items, "array"), need("join", separator, "string")
    texts = []
    total = 0
    for item in items:
        texts.append(as_text(item))
        total += len(texts[-1]) + len(separator)
        require_text(total - len(separator))
    return separator.join(texts)


def replace(text: Any, old: Any, new: Any) -> Any:
    text, old, new = (need("replace", value, "string") for value in (text, old, new))
    if not old:
        raise ExpressionError("replace() can't look for an empty string")
    require_text(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def starts_with(text: Any, start: Any) -> Any:
    return need("starts_with", text, "string").startswith(need("starts_with", start, "string"))


def ends_with(text: Any, end: Any) -> Any:
    return need("ends_with", text, "string").endswith(need("ends_with", end, "string"))


def match(pattern: Any, text: Any) -> Any:
    pattern, text = need("match", pattern, "string"), need("match", text, "string")
    try:
        return search(pattern, text, timeout=MATCH_SECONDS)
    except PatternError as error:
        raise ExpressionError(f"match(): the pattern {error}") from None
