"""Give a value the type of its key, or say precisely why it can't have it (pure)."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from agent.configuration.environment import PREFIX
from agent.configuration.node import Node, decoded
from agent.configuration.settings_table import Field
from agent.errors import ConfigurationError

_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

#: Each number with a fraction is one of seconds. Libraries count milliseconds in integers of their own sizes.
_LONGEST_SECONDS = 315_576_000.0


class _WrongKind(Exception):
    """The value does not have the type; carries what was expected."""


def convert(node: Node, field: Field) -> Any:
    """Return the typed value.

    Raises:
        ConfigurationError: it has another type or is out of range; the message names origin, key, value, expectation.
    """
    try:
        value = _convert(node, field.kind, field.key)
        _check_range(value, field)
    except _WrongKind as error:
        shown = "a value of another type" if field.secret else _shown(node)
        raise ConfigurationError(f"{node.origin}: {field.key} must be {error}, not {shown}") from None
    return value


def _convert(node: Node, kind: Any, key: str) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        if type(None) in get_args(kind) and (node.is_unset or node.text == ""):
            return None
        kinds = [part for part in get_args(kind) if part is not type(None)]
        return _first_that_fits(node, kinds, key)
    origin = get_origin(kind)
    if origin is Literal:
        return _choice(node, get_args(kind))
    if origin is tuple:
        if get_args(kind)[0] is str:
            return _texts(node)
        return tuple(_mapping(item, Any, key) for item in _items(node))
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(node, get_args(kind)[1], key)
    return _SCALARS[kind](node)


def _first_that_fits(node: Node, kinds: Sequence[Any], key: str) -> Any:
    expected = []
    for kind in kinds:
        try:
            return _convert(node, kind, key)
        except _WrongKind as error:
            expected.append(str(error))
    raise _WrongKind(" or ".join(expected))


def _text(node: Node) -> str:
    if node.text is None:
        raise _WrongKind("text")
    return node.text


def _path(node: Node) -> Path:
    if not node.text:
        raise _WrongKind("a path")
    return Path(node.text)


def _boolean(node: Node) -> bool:
    if isinstance(node.value, bool):
        return node.value
    try:
        return _BOOLEANS[(node.text or "").strip().lower()]
    except KeyError:
        raise _WrongKind("true or false") from None


def _integer(node: Node) -> int:
    text = (node.text or "").strip()
    if text.removeprefix("-").removeprefix("+").isdecimal() and text.isascii():
        return int(text)
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    raise _WrongKind("a whole number")


def _number(node: Node) -> float:
    try:
        value = float((node.text or "").strip())
    except ValueError:
        raise _WrongKind("a number") from None
    if not math.isfinite(value):
        raise _WrongKind("a number")
    return value


_SCALARS: dict[Any, Callable[[Node], Any]] = {
    str: _text,
    Path: _path,
    bool: _boolean,
    int: _integer,
    float: _number,
}


def _choice(node: Node, choices: tuple[str, ...]) -> str:
    text = (node.text or "").strip().lower()
    if text not in choices:
        raise _WrongKind("one of " + ", ".join(choices) if len(choices) > 1 else choices[0])
    return text


def _texts(node: Node) -> tuple[str, ...]:
    """A list of texts; commas in a variable separate its items, as a file has lists of its own."""
    of_variable = node.origin.upper().startswith(PREFIX)
    if of_variable and node.text is not None and not node.text.lstrip().startswith(("[", "{")):
        return tuple(part.strip() for part in node.text.split(",") if part.strip())
    return tuple(_text(item) for item in _items(node))


def _items(node: Node) -> list[Node]:
    if node.text == "":
        return []
    node = _decoded(node)
    if isinstance(node.value, list):
        return node.value
    raise _WrongKind("a list")


def _mapping(node: Node, kind: Any, key: str) -> dict[str, Any]:
    node = _decoded(node)
    if node.text == "":
        return {}
    if not node.is_mapping:
        raise _WrongKind("a map")
    if kind is str:
        return {name: _text(item) for name, item in node.value.items()}
    return {name: _plain(item, listed=_is_list(key, name)) for name, item in node.value.items()}


def _is_list(key: str, name: str) -> bool:
    """The one list inside a free-form map: commas in a variable separate its items."""
    return key.endswith(".capabilities") and name == "runtimes"


def _plain(node: Node, *, listed: bool = False) -> Any:
    node = _decoded(node)
    if isinstance(node.value, dict):
        return {name: _plain(item) for name, item in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(item) for item in node.value]
    if listed and node.text is not None:
        return [part.strip() for part in node.text.split(",") if part.strip()]
    return node.value if isinstance(node.value, str | bool | int | float | None) else node.text


def _decoded(node: Node) -> Node:
    try:
        return decoded(node)
    except ValueError:
        raise _WrongKind("valid JSON") from None


def _check_range(value: Any, field: Field) -> None:
    if value is None or not isinstance(value, int | float):
        return
    if field.above is not None and not value > field.above:
        raise _WrongKind(f"greater than {field.above:g}")
    if field.least is not None and value < field.least:
        raise _WrongKind(f"at least {field.least:g}")
    if field.kind is float and value > _LONGEST_SECONDS:
        raise _WrongKind(f"at most {_LONGEST_SECONDS:.0f} (ten years)")


def _shown(node: Node) -> str:
    if node.is_mapping:
        return "a map"
    if isinstance(node.value, list):
        return "a list"
    return "null" if node.is_unset else repr(node.text)
