"""Read JSON as it was meant: nothing twice, nothing endless, nothing that the database can't hold (pure)."""

from __future__ import annotations

import json
import math
from typing import Any

DEEPEST = 64


class BadJson(ValueError):
    """The text is not JSON, or JSON that is refused; the message says why."""


def read_json(body: bytes) -> Any:
    """Return the value.

    Raises:
        BadJson: malformed, too deep, a key twice, a number without an end, or a character that can't be stored.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadJson("the body is not UTF-8") from None
    _check_depth(text)
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_number, parse_int=_integer
        )
    except BadJson:
        raise
    except (ValueError, RecursionError) as error:
        raise BadJson(f"the body is not JSON: {error}") from None
    if "\\u" in text or "\x00" in text:
        _check_text(value)
    return value


def check_text(text: str) -> str:
    """Return a text that the database can hold. Raises BadJson."""
    if "\x00" in text:
        raise BadJson("a string can't contain the character NUL")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise BadJson("a string contains half a character (a lone surrogate)")
    return text


def _check_depth(text: str) -> None:
    """Count brackets outside of strings before the parser follows them."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = deepest = 0
    inside = escaped = False
    for character in text:
        if inside:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                inside = False
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    if deepest > DEEPEST:
        raise BadJson(f"the body is nested deeper than {DEEPEST} levels")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadJson(f"the key {twice!r} appears twice")
    return found


def _constant(name: str) -> Any:
    raise BadJson(f"{name} is not JSON")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadJson(f"{text[:40]} is too large a number")
    return number


def _integer(text: str) -> int:
    if len(text) > 1000:
        raise BadJson(f"a number of {len(text)} digits is too large")
    return int(text)


def _check_text(value: Any) -> None:
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            check_text(key)
            _check_text(item)
    elif isinstance(value, list):
        for item in value:
            _check_text(item)
