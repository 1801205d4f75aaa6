"""One YAML file as nodes that know their line: safe types only, bounded in size, depth and expansion of aliases."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from agent.packs.complaints import Complaints
from agent.packs.model import Problem
from agent.reading.regular_files import read_regular_text

LARGEST_FILE = 256 * 1024
MOST_VALUES = 50_000
DEEPEST = 50
Entries: TypeAlias = dict[str, tuple[yaml.Node, yaml.Node]]
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str"))
_DATE_TAG = "tag:yaml.org,2002:timestamp"
_MERGE_TAG = "tag:yaml.org,2002:merge"


class Document:
    """The nodes of one file and where to complain about them.

    ``root`` is None when the file could not be read as one mapping; the reason has been noted then.
    """

    def __init__(self, file: str, complaints: Complaints, root: yaml.MappingNode | None) -> None:
        """Use ``read_document`` or ``parse_document``; ``file`` is relative to the pack."""
        self.file = file
        self.root = root
        self._complaints = complaints
        self._left = MOST_VALUES

    def complain(self, node: yaml.Node | None, key: str, message: str) -> None:
        """Note a problem at ``node``'s line."""
        self._complaints.add(Problem(self.file, line_of(node), key, message))

    def warn(self, node: yaml.Node | None, key: str, message: str) -> None:
        """Note a warning at ``node``'s line."""
        self._complaints.warn(Problem(self.file, line_of(node), key, message))

    def entries(self, node: yaml.MappingNode, path: str, depth: int = 0) -> Entries:
        """Return a mapping's keys with the nodes of key and value; complain about what is no key or appears twice.

        A merge (``<<``) adds what the mapping itself lacks.
        """
        if depth > DEEPEST:
            self.complain(node, path, "is nested too deeply")
            return {}
        own: Entries = {}
        merged: Entries = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.complain(key, path, "a key must be a single word or number")
            elif key.tag == _MERGE_TAG:
                for source in self._merge_sources(value, path):
                    merged = self.entries(source, path, depth + 1) | merged
            elif key.value in own:
                self.complain(
                    key,
                    join(path, key.value),
                    f"is defined twice; the first definition is in line {line_of(own[key.value][0])}",
                )
            elif not _storable(key.value):
                self.complain(key, path, "a key holds characters that the database can't store")
            elif self._spend(key, path):
                own[key.value] = (key, value)
        return own | {name: entry for name, entry in merged.items() if name not in own}

    def value(self, node: yaml.Node, path: str, depth: int = 0) -> Any:
        """Return the value that JSON can hold; complain about anything else and put None in its place."""
        if not self._spend(node, path):
            return None
        if depth > DEEPEST:
            self.complain(node, path, "is nested too deeply")
            return None
        if isinstance(node, yaml.MappingNode):
            entries = self.entries(node, path)
            return {name: self.value(value, join(path, name), depth + 1) for name, (_, value) in entries.items()}
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _scalar(self, node: yaml.Node, path: str) -> Any:
        if node.tag == _DATE_TAG:
            return node.value
        if node.tag not in _PLAIN_TAGS:
            self.complain(node, path, f"a value of type {node.tag.removeprefix('tag:yaml.org,2002:')} is not allowed")
            return None
        try:
            value = yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, OverflowError, yaml.YAMLError) as error:
            self.complain(node, path, f"can't be read: {str(error).splitlines()[0]}")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self.complain(node, path, f"is {node.value}, which JSON can't express")
            return None
        if isinstance(value, str) and not _storable(value):
            self.complain(node, path, "holds characters that the database can't store")
            return None
        return value

    def _merge_sources(self, node: yaml.Node, path: str) -> Iterator[yaml.MappingNode]:
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not self._spend(source, path):
                return
            if isinstance(source, yaml.MappingNode):
                yield source
            else:
                self.complain(source, join(path, "<<"), "must name a mapping or a list of mappings")

    def _spend(self, node: yaml.Node, path: str) -> bool:
        """Count one value: aliases that expand to millions of them end here, as do those that contain themselves."""
        self._left -= 1
        if self._left == -1:
            self.complain(node, path, f"the file expands to more than {MOST_VALUES} values")
        return self._left >= 0


def read_document(directory: Path, file: str, complaints: Complaints) -> Document:
    """Read ``directory/file``."""
    path = directory / file
    try:
        if not path.resolve().is_relative_to(directory.resolve()):
            complaints.add(Problem(file, 1, "", "leads out of the pack"))
            return Document(file, complaints, None)
        text = read_regular_text(path, LARGEST_FILE)
    except UnicodeDecodeError:
        complaints.add(Problem(file, 1, "", "is not UTF-8 text"))
        return Document(file, complaints, None)
    except OSError as error:
        large = error.errno == errno.EFBIG
        complaints.add(Problem(file, 1, "", f"is {error.strerror}" if large else f"can't be read: {error.strerror}"))
        return Document(file, complaints, None)
    return parse_document(text, file, complaints)


def parse_document(text: str, file: str, complaints: Complaints) -> Document:
    """Read ``text`` as one mapping; ``file`` names it in complaints."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        complaints.add(
            Problem(file, mark.line + 1 if mark else 1, "", f"is not YAML: {error.problem or error.context}")
        )
        return Document(file, complaints, None)
    except yaml.YAMLError as error:
        complaints.add(Problem(file, 1, "", f"is not YAML: {str(error).splitlines()[0]}"))
        return Document(file, complaints, None)
    except RecursionError:
        complaints.add(Problem(file, 1, "", "is nested too deeply"))
        return Document(file, complaints, None)
    if not isinstance(root, yaml.MappingNode):
        complaints.add(Problem(file, line_of(root), "", "must be a mapping of keys to values"))
        return Document(file, complaints, None)
    return Document(file, complaints, root)


def _storable(text: str) -> bool:
    """PostgreSQL's text holds everything but NUL, as UTF-8: half of a surrogate pair has none."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def line_of(node: yaml.Node | None) -> int:
    """Return the line of a node, counted from 1."""
    return int(node.start_mark.line) + 1 if node is not None else 1


def join(path: str, key: str) -> str:
    """Return the dotted path of ``key`` below ``path``."""
    return f"{path}.{key}" if path else key
