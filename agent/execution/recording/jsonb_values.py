"""Make any result storable as jsonb, which refuses NUL characters, lone surrogates, NaN and infinities (pure)."""

from __future__ import annotations

import json
import math
from typing import Any

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def to_jsonb(value: Any) -> tuple[Any, str]:
    """Return ``value`` as it can be stored, and its JSON text.

    In the common case the value is returned as it is; what jsonb refuses is replaced: NUL characters and lone
    surrogates by U+FFFD, NaN and infinities by their names.
    """
    text = _encode(value)
    if "\\u0000" in text or "\\ud" in text or "NaN" in text or "Infinity" in text:
        value = _clean(value)
        text = _encode(value)
    return value, text


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", _REPLACEMENT).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {_clean(key) if isinstance(key, str) else key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
