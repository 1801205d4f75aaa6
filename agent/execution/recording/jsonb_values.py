"""Make any result storable as jsonb, which refuses NUL characters, lone surrogates, NaN and infinities (pure)."""

from __future__ import annotations

import json
import math
from typing import Any

from agent.json_pieces import json_pieces

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def to_jsonb(value: Any) -> tuple[Any, bytes]:
    """Return ``value`` as it can be stored, and its JSON text in UTF-8.

    In the common case the value is returned as it is; what jsonb refuses is replaced: NUL characters and lone
    surrogates by U+FFFD, NaN and infinities by their names.
    """
    # Written as JSON, output of nothing but NUL characters would be six times as long.
    if isinstance(value, dict) and any(type(item) is str and "\0" in item for item in value.values()):
        value = _clean(value)
    try:
        text = _joined(value)
    except UnicodeEncodeError:
        value = _clean(value)
        text = _joined(value)
    if b"\\u0000" in text or b"NaN" in text or b"Infinity" in text:
        value = _clean(value)
        text = _joined(value)
    return value, text


def _joined(value: Any) -> bytes:
    return b"".join(json_pieces(value, _encode))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {_clean(key) if isinstance(key, str) else key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def _clean_text(text: str) -> str:
    if "\0" in text:
        text = text.replace("\0", _REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
