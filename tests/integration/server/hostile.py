"""What nobody should send, made of the type of a body or query: one value that is fine, and each way to spoil it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

#: Texts in the place of each text.
TEXTS = (
    "'; DROP TABLE key; --", "' OR '1'='1", "\\'; SELECT pg_sleep(30) --", "$$; DELETE FROM execution; --",
    "%s %(id)s {0}", "", " ", "\x00", "a\x00b", "\ud800", "\udfff\ud800", "\U0001f600" * 200, "9" * 5_000, "x" * 300,
    "x" * 100_000, "../../../etc/passwd",
    "/etc/passwd", "file:///etc/passwd", "core.echo\n", "\x1b[2J\x07", "-1", "NaN", "null",
)  # fmt: skip
#: Numbers in the place of each number; as text where the decoder of the client would refuse them.
NUMBERS = (0, -1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 1.5, 1e308, "0", True, None)
OTHERS = (None, [], {}, [[]], {"": {}}, "text", 5, True)


def fine(kind: inspect.Type) -> Any:
    """Return a value that the type accepts."""
    match kind:
        case inspect.StructType():
            return {field.encode_name: fine(field.type) for field in kind.fields}
        case inspect.UnionType():
            return fine(next(one for one in kind.types if not isinstance(one, inspect.NoneType)))
        case inspect.StrType():
            return _text(kind)
        case inspect.IntType() | inspect.FloatType():
            return int(kind.ge or 1)
        case inspect.BoolType():
            return True
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.ListType():
            return [fine(kind.item_type)]
        case inspect.DictType():
            return {"name": fine(kind.value_type)}
        case inspect.DateTimeType():
            return "2026-01-01T00:00:00Z"
    return None


def _text(kind: inspect.StrType) -> str:
    text = "no.such" if (kind.max_length or 100) >= 7 else "n"
    return text + "x" * max(0, (kind.min_length or 0) - len(text))


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, by its path."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _places(item, (*path, number))


def _with(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    at = changed
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return changed


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


def spoiled(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield documents with one value spoiled each, and where."""
    document = fine(inspect.type_info(kind))
    yield "nothing spoiled", document
    for path in _places(document):
        here = _at(document, path)
        values = TEXTS if isinstance(here, str) else NUMBERS if isinstance(here, int | float) else OTHERS
        for value in (*values, *(OTHERS if isinstance(here, str) else ())):
            yield ".".join(map(str, path)), _with(document, path, value)
    deep: Any = "bottom"
    for _ in range(60):
        deep = {"deeper": [deep]} if isinstance(deep, str) else {"deeper": deep}
    for path in _places(document):
        if isinstance(_at(document, path), dict):
            yield f"{path} deep", _with(document, path, deep)
            yield f"{path} wide", _with(document, path, {f"k{n}": n for n in range(5_000)})
            yield f"{path} key", _with(document, path, {text: text for text in TEXTS[:7]})


def query_names(kind: type) -> list[str]:
    """The parameters that a query may have."""
    return [field.encode_name for field in msgspec.structs.fields(kind)]
