"""Find the values that a schema declares secret, take them out of a document and put them back (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent.execution.schema import schema_fields

#: What stands in public JSON in place of a secret value.
MARKER = {"$attune_secret": True, "redacted": True}

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Redacted:
    """A value that was taken out of a result: where it was, the schema's path to it, and the original."""

    json_path: str
    source_ref: str
    original: Any


def redact_result(data: Any, out_schema: Any) -> tuple[Any, list[Redacted]]:
    """Return ``data`` with each value that ``out_schema`` declares secret replaced by ``MARKER``, and those values.

    Objects are followed to any depth, lists are not. ``data`` itself is not changed.
    """
    taken: list[Redacted] = []
    for path in secret_paths(out_schema) if out_schema else ():
        found, value = value_at(data, path)
        if found and value != MARKER:
            data = spliced(data, path, dict(MARKER))
            taken.append(Redacted("/data" + pointer(path), pointer(path), value))
    return data, taken


def secret_paths(schema: Any, prefix: Path = ()) -> Iterator[Path]:
    """Yield the path of each field that a schema declares ``secret: true``, outermost only."""
    for name, field in schema_fields(schema).items():
        if not isinstance(field, Mapping):
            continue
        path = (*prefix, name)
        if field.get("secret") is True:
            yield path
        elif field.get("type") == "object" and isinstance(field.get("properties"), Mapping):
            yield from secret_paths(field, path)


def pointer(path: Path) -> str:
    """Return ``path`` as a JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def path_of(json_pointer: str) -> Path:
    """Return the path that a JSON pointer names; the empty pointer is the whole document."""
    parts = json_pointer.removeprefix("/").split("/") if json_pointer else []
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def spliced(document: Any, path: Path, value: Any) -> Any:
    """Return a copy of ``document`` with ``value`` at ``path``.

    Missing objects on the way are made; a list index that doesn't exist, and a path through a scalar, change nothing.
    """
    if not path:
        return value
    head, rest = path[0], path[1:]
    if document is None:
        document = {}
    if isinstance(document, Mapping):
        return {**document, head: spliced(document.get(head), rest, value)}
    if isinstance(document, list) and head.isascii() and head.isdigit() and len(head) < 9 and int(head) < len(document):
        index = int(head)
        return [*document[:index], spliced(document[index], rest, value), *document[index + 1 :]]
    return document


def value_at(document: Any, path: Path) -> tuple[bool, Any]:
    """Return whether ``path`` leads to a value through objects only, and that value."""
    for part in path:
        if not isinstance(document, Mapping) or part not in document:
            return False, None
        document = document[part]
    return True, document
