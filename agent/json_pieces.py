"""JSON of an object with large texts in it, as pieces of UTF-8: no copy is made that is as large as a text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

#: Characters of a text that are encoded at a time; a shorter one is encoded like everything else.
_PIECE = 65_536
_quote = json.encoder.encode_basestring


def json_pieces(
    value: object, encode: Callable[[object], str], *, sort_keys: bool = False, errors: str = "strict"
) -> Iterator[bytes]:
    """Yield the JSON of ``value``; joined, they are what ``encode``, which writes no spaces and no ASCII only, gives.

    ``errors`` says what becomes of lone surrogates, which have no UTF-8 form, as ``str.encode`` does.

    Raises:
        UnicodeEncodeError: there is one, and ``errors`` is strict.
        ValueError, TypeError, RecursionError: what ``encode`` raises.
    """
    if not isinstance(value, dict) or not any(_is_large(item) for item in value.values()):
        yield encode(value).encode("utf-8", errors)
        return
    before = "{"
    for key in sorted(value) if sort_keys else value:
        item = value[key]
        yield f"{before}{_quote(key)}:".encode("utf-8", errors)
        before = ","
        if _is_large(item):
            yield b'"'
            for begin in range(0, len(item), _PIECE):
                yield _quote(item[begin : begin + _PIECE])[1:-1].encode("utf-8", errors)
            yield b'"'
        else:
            yield encode(item).encode("utf-8", errors)
    yield b"}"


def _is_large(item: object) -> bool:
    return type(item) is str and len(item) > _PIECE
