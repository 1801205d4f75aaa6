"""What the environment says: ``ATTUNE__SECTION__KEY`` as a tree, and the few single-underscore variables (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.configuration.node import Node, decoded, merged
from agent.configuration.settings_table import fields

PREFIX = "ATTUNE__"


@dataclass(frozen=True)
class Variables:
    """Facts that only the process environment tells; None is "not set", which differs from empty."""

    worker_name: str | None = None
    worker_type: str | None = None
    worker_runtimes: str | None = None
    sensor_runtimes: str | None = None
    api_url: str | None = None
    stop_grace_period: str | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Variables:
        """Pick them from an environment."""
        return cls(
            worker_name=environ.get("ATTUNE_WORKER_NAME", "").strip() or None,
            worker_type=environ.get("ATTUNE_WORKER_TYPE", "").strip() or None,
            worker_runtimes=environ.get("ATTUNE_WORKER_RUNTIMES"),
            sensor_runtimes=environ.get("ATTUNE_SENSOR_RUNTIMES"),
            api_url=environ.get("ATTUNE_API_URL", "").strip() or None,
            stop_grace_period=environ.get("ATTUNE_STOP_GRACE_PERIOD", "").strip() or None,
        )


def settings_tree(environ: Mapping[str, str]) -> Node:
    """Return the tree that the ``ATTUNE__`` variables describe, names lower-cased."""
    root = Node({}, "environment")
    # Sorted, so that a map given whole comes before its single entries and they are laid over it.
    for variable in sorted(environ):
        if variable.upper().startswith(PREFIX):
            path = variable[len(PREFIX) :].lower().split("__")
            if all(path):
                root = merged(root, nested(path, _leaf(path, variable, environ[variable])))
    return root


def _leaf(path: list[str], variable: str, text: str) -> Node:
    if len(path) > 2 and ".".join(path) not in fields():
        return Node(_guessed(text), variable, text)
    field = fields().get(".".join(path))
    leaf = Node(text, variable, text)
    if field is None or not isinstance(field.default, dict):
        return leaf
    try:
        return decoded(leaf)
    except ValueError:
        return leaf  # reported, with what was expected, when it is converted


def _guessed(text: str) -> str | bool | int:
    """An entry of a free-form map has no type of its own: only what can't be mistaken becomes a boolean or a number."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return int(text) if text.isascii() and text.isdecimal() and str(int(text)) == text else text


def overrides_tree(overrides: Mapping[str, str]) -> Node:
    """Return the tree of dotted keys that were given on the command line."""
    root = Node({}, "command line")
    for key, text in overrides.items():
        root = merged(root, nested(key.split("."), Node(text, "command line", text)))
    return root


def nested(path: list[str], leaf: Node) -> Node:
    """Wrap ``leaf`` in mappings, one for each part of ``path``."""
    for part in reversed(path):
        leaf = Node({part: leaf}, leaf.origin)
    return leaf


def leaves(root: Node) -> Iterator[tuple[str, Node]]:
    """Yield ``(dotted key, node)``, going no deeper than a key that the settings know."""
    for name, node in root.value.items():
        if name in fields() or not node.is_mapping:
            yield name, node
            continue
        for key, item in node.value.items():
            yield from _below(f"{name}.{key}", item)


def _below(key: str, node: Node) -> Iterator[tuple[str, Node]]:
    if node.is_mapping and any(known.startswith(f"{key}.") for known in fields()):
        for name, item in node.value.items():
            yield from _below(f"{key}.{name}", item)
    else:
        yield key, node
