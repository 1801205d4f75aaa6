"""Read one YAML document into JSON values from its events: no tags that build objects, no recursion, bounded aliases.

YAML 1.2's core schema decides what a plain scalar is: ``yes`` and dates are text, as in Attune's other services.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import yaml

from agent.reading.json_text import read_integer

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: How many characters and nodes aliases may add to a document, beyond its own length.
_ALLOWED_GROWTH = 1_000_000

#: How many nodes a document may have: each costs up to a hundred bytes.
_MOST_NODES = 500_000

#: Longest number in octal or hexadecimal; a longer one is text.
_LONGEST_BASED = 1_000

_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def read_document(text: str, *, maximum_depth: int) -> Any:
    """Return the value of the only document in ``text``.

    Raises:
        ValueError: no YAML, more than one document, nested too deep, growing too much by aliases, or nothing that
            JSON can hold.
    """
    builder = _Builder(maximum_depth, _ALLOWED_GROWTH + 4 * len(text))
    try:
        builder.take_all(yaml.parse(text, Loader=_LOADER))
    except (yaml.YAMLError, RecursionError, OverflowError) as error:
        raise ValueError("no YAML document") from error
    return builder.value


class _Open:
    """A list or mapping that is being read; ``key`` is the name that waits for its value."""

    __slots__ = ("anchor", "begun", "height", "key", "value")

    def __init__(self, value: Any, anchor: str | None, begun: int) -> None:
        self.value = value
        self.anchor = anchor
        self.begun = begun
        self.height = 1
        self.key: str | None = None


class _Builder:
    """Builds the value; ``_weight`` counts nodes and characters, repeated ones as often as they appear."""

    def __init__(self, maximum_depth: int, maximum_weight: int) -> None:
        self.value: Any = None
        self._documents = 0
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._maximum_depth = maximum_depth
        self._maximum_weight = maximum_weight
        self._weight = 0

    def take_all(self, events: Iterable[Any]) -> None:
        for count, event in enumerate(events):
            if count > _MOST_NODES:
                raise ValueError("too many values")
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._open({} if isinstance(event, yaml.MappingStartEvent) else [], event.anchor)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self._close()
            elif isinstance(event, yaml.AliasEvent):
                self._alias(str(event.anchor))
            elif isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    raise ValueError("more than one document")
        if not self._documents:
            raise ValueError("no document")

    def _scalar(self, event: Any) -> None:
        wants_name = bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None
        plain = event.style in (None, "") and event.tag is None
        value = _resolve(event.value) if plain and not wants_name else event.value
        self._weigh(1 + len(event.value))
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1 + len(event.value), 0)
        self._put(value, 0)

    def _open(self, value: Any, anchor: str | None) -> None:
        if len(self._stack) >= self._maximum_depth:
            raise ValueError("nested too deep")
        self._weigh(1)
        self._stack.append(_Open(value, anchor, self._weight - 1))

    def _close(self) -> None:
        done = self._stack.pop()
        if done.anchor is not None:
            self._anchors[done.anchor] = (done.value, self._weight - done.begun, done.height)
        self._put(done.value, done.height)

    def _alias(self, anchor: str) -> None:
        # An anchor that is still open would make the value contain itself.
        if anchor not in self._anchors:
            raise ValueError("an alias of something that isn't there yet")
        value, weight, height = self._anchors[anchor]
        if len(self._stack) + height > self._maximum_depth:
            raise ValueError("nested too deep")
        self._weigh(weight)
        self._put(value, height)

    def _put(self, value: Any, height: int) -> None:
        if not self._stack:
            self.value = value
            return
        top = self._stack[-1]
        top.height = max(top.height, height + 1)
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is None:
            if not isinstance(value, str):
                raise ValueError("a key that is not a string")  # noqa: TRY004 - one kind for all that is no document
            top.key = value
        else:
            top.value[top.key] = value
            top.key = None

    def _weigh(self, weight: int) -> None:
        self._weight += weight
        if self._weight > self._maximum_weight:
            raise ValueError("aliases make the document too large")


def _resolve(text: str) -> Any:
    """Return the value of a plain scalar (YAML 1.2, 10.3.2)."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] in "+-.0123456789":
        if _INTEGER.fullmatch(text):
            return read_integer(text)
        if _BASED.fullmatch(text) and len(text) <= _LONGEST_BASED:
            return int(text, 0)
        if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
            return number
    return text
