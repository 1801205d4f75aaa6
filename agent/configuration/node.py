"""A value as its source wrote it: a tree whose every leaf remembers where it came from (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Node:
    """One value before it has a type.

    ``value`` is a scalar, a ``dict[str, Node]`` or a ``list[Node]``; ``text`` is a scalar as it was written (so that
    ``007`` stays ``007``), ``origin`` is ``file:line``, the name of a variable or ``command line``. A mapping that
    ``replaces`` is not merged with the one below it.
    """

    value: Any
    origin: str
    text: str | None = None
    replaces: bool = False

    @property
    def is_mapping(self) -> bool:
        """Whether this is a mapping."""
        return isinstance(self.value, dict)

    @property
    def is_unset(self) -> bool:
        """Whether the source wrote null."""
        return self.value is None

    def origins(self) -> Iterator[str]:
        """Yield where its leaves came from; an empty mapping or list counts as a leaf."""
        if not isinstance(self.value, dict | list) or not self.value:
            yield self.origin
            return
        for child in self.value.values() if isinstance(self.value, dict) else self.value:
            yield from child.origins()


def merged(below: Node | None, above: Node) -> Node:
    """Lay ``above`` over ``below``: mappings merge key by key, anything else replaces."""
    if below is None or above.replaces or not (below.is_mapping and above.is_mapping):
        return above
    keys = {**below.value, **above.value}
    return Node(
        {
            key: merged(below.value.get(key), above.value[key]) if key in above.value else below.value[key]
            for key in keys
        },
        above.origin,
    )


def from_plain(value: Any, origin: str) -> Node:
    """Wrap a decoded JSON value."""
    if isinstance(value, dict):
        return Node({str(key): from_plain(item, origin) for key, item in value.items()}, origin, replaces=True)
    if isinstance(value, list):
        return Node([from_plain(item, origin) for item in value], origin)
    return Node(value, origin, value if isinstance(value, str) else None if value is None else json.dumps(value))


def decoded(node: Node) -> Node:
    """Read a JSON list or object that a scalar holds; anything else stays as it is.

    Raises:
        ValueError: it looks like JSON and isn't.
    """
    if node.text is None or not node.text.lstrip().startswith(("[", "{")):
        return node
    return from_plain(json.loads(node.text), node.origin)
