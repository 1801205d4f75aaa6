"""Reads the keys of one mapping with the types that are expected, and complains about everything else."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from agent.packs.document import Document, join

_KINDS = {dict: "a mapping", list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}


class MappingReader:
    """The keys of one mapping of a document.

    Each read says what it looks for; ``finish`` then warns about the keys that nobody looked for.
    """

    def __init__(self, document: Document, node: yaml.MappingNode, path: str = "") -> None:
        """Look at ``node``, whose dotted path is ``path``."""
        self.document = document
        self.node = node
        self.path = path
        self._entries = document.entries(node, path)
        self._known: set[str] = set()

    def has(self, *names: str) -> bool:
        """Whether one of these keys is there and is not null."""
        return self.find(*names) is not None

    def find(self, *names: str) -> tuple[str, yaml.Node] | None:
        """Return the first of these keys that is there with the node of its value; null counts as missing."""
        self._known.update(names)
        for name in names:
            if name in self._entries and self._entries[name][1].tag != "tag:yaml.org,2002:null":
                return name, self._entries[name][1]
        return None

    def complain(self, name: str, message: str) -> None:
        """Note a problem with the key ``name``, or with the mapping when the key isn't there."""
        entry = self._entries.get(name)
        self.document.complain(entry[0] if entry else self.node, join(self.path, name), message)

    def warn(self, name: str, message: str) -> None:
        """Note a warning about the key ``name``."""
        entry = self._entries.get(name)
        self.document.warn(entry[0] if entry else self.node, join(self.path, name), message)

    def line(self, *names: str) -> int:
        """Return the line of the first of these keys that is there, else the mapping's."""
        found = self.find(*names)
        node = self._entries[found[0]][0] if found else self.node
        return int(node.start_mark.line) + 1

    def text(self, *names: str, default: str | None = None) -> str | None:
        """Read a text; the first of ``names`` is the one to write, the others are accepted."""
        value = self._typed(names, str)
        return default if value is None else value

    def required_text(self, *names: str) -> str:
        """Read a text that must be there and not be empty; "" when it isn't."""
        if not self.has(*names):
            self.complain(names[0], "is missing")
            return ""
        value = self._typed(names, str)
        if value is not None and not value.strip():
            self.complain(names[0], "is empty")
        return str(value or "").strip()

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Read true or false."""
        value = self._typed((name,), bool)
        return default if value is None else value

    def number(self, *names: str, least: int, most: int = 2**31 - 1) -> int | None:
        """Read a whole number from ``least`` to ``most``."""
        value: int | None = self._typed(names, int)
        if value is not None and not least <= value <= most:
            wanted = f"at least {least}" if value < least else f"at most {most}"
            self.complain(names[0], f"must be {wanted}, not {value}")
            return None
        return value

    def choice(self, name: str, allowed: Sequence[str]) -> str | None:
        """Read one of some words; capitals don't matter."""
        value = self.text(name)
        if value is None or value.lower() in allowed:
            return value and value.lower()
        self.complain(name, f"must be one of {', '.join(allowed)}, not {value!r}{_meant(value, allowed)}")
        return None

    def texts(self, *names: str) -> tuple[str, ...]:
        """Read a list of strings."""
        found = self.find(*names)
        if found is None:
            return ()
        name, node = found
        if not isinstance(node, yaml.SequenceNode):
            self._wrong(name, node, "a list of strings")
            return ()
        texts = []
        for index, item in enumerate(node.value):
            value = self.document.value(item, f"{join(self.path, name)}[{index}]")
            if isinstance(value, str):
                texts.append(value)
            elif value is not None:
                self.document.complain(
                    item, f"{join(self.path, name)}[{index}]", f"must be a string, not {value!r}; quote it"
                )
        return tuple(texts)

    def mapping(self, *names: str) -> Mapping[str, Any] | None:
        """Read a mapping of anything that JSON can hold."""
        found = self.find(*names)
        if found is None:
            return None
        name, node = found
        if not isinstance(node, yaml.MappingNode):
            self._wrong(name, node, "a mapping")
            return None
        value: Mapping[str, Any] = self.document.value(node, join(self.path, name)) or {}
        return value

    def section(self, *names: str) -> MappingReader | None:
        """Read a mapping whose keys are known."""
        found = self.find(*names)
        if found is None:
            return None
        name, node = found
        if not isinstance(node, yaml.MappingNode):
            self._wrong(name, node, "a mapping")
            return None
        return MappingReader(self.document, node, join(self.path, name))

    def sections(self, name: str) -> list[MappingReader]:
        """Read a list of mappings whose keys are known."""
        found = self.find(name)
        if found is None:
            return []
        if not isinstance(found[1], yaml.SequenceNode):
            self._wrong(name, found[1], "a list")
            return []
        members = []
        for index, item in enumerate(found[1].value):
            path = f"{join(self.path, name)}[{index}]"
            if isinstance(item, yaml.MappingNode):
                members.append(MappingReader(self.document, item, path))
            else:
                self.document.complain(item, path, "must be a mapping")
        return members

    def ignore(self, *names: str) -> None:
        """Know keys that other programs read."""
        self._known.update(names)

    def names(self) -> tuple[str, ...]:
        """Return all keys that are there."""
        return tuple(self._entries)

    def finish(self) -> None:
        """Warn about the keys that nobody asked for, each with the known key that looks most like it."""
        for name in self._entries:
            if name not in self._known:
                self.warn(name, f"is not a known key{_meant(name, sorted(self._known))}")

    def _typed(self, names: tuple[str, ...], kind: type[Any]) -> Any:
        found = self.find(*names)
        if found is None:
            return None
        name, node = found
        value = self.document.value(node, join(self.path, name))
        if value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
            return value
        self._wrong(name, node, _KINDS[kind])
        return None

    def _wrong(self, name: str, node: yaml.Node, expected: str) -> None:
        given = node.value if isinstance(node, yaml.ScalarNode) else _node_kind(node)
        quote = "; quote it" if expected == "a string" and isinstance(node, yaml.ScalarNode) else ""
        self.document.complain(node, join(self.path, name), f"must be {expected}, not {_short(str(given))}{quote}")


def _node_kind(node: yaml.Node) -> str:
    return "a mapping" if isinstance(node, yaml.MappingNode) else "a list"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _meant(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word.lower(), known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
