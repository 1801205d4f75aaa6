"""The settings tree as a flat table of dotted keys, each with its type, default and variable (pure)."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, get_type_hints

from agent.settings import Settings


@dataclass(frozen=True)
class Field:
    """One key of the settings tree, such as ``database.url``."""

    key: str
    kind: Any
    default: Any
    doc: str
    above: float | None
    least: float | None
    secret: bool

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "ATTUNE__" + self.key.upper().replace(".", "__")


@functools.cache
def fields() -> dict[str, Field]:
    """Return every key, sections first, in the order in which they are declared."""
    table: dict[str, Field] = {}
    for name, section in _sections().items():
        _collect(table, f"{name}.", section)
    _collect(table, "", Settings)
    return table


@functools.cache
def sections() -> frozenset[str]:
    """Return the names of the sections that are ours."""
    return frozenset(_sections())


def build(values: dict[str, Any]) -> Settings:
    """Make the settings tree of typed values by dotted key; keys that are absent keep their defaults."""
    settings: Settings = _made(Settings, values)
    return settings


def _made(owner: type, values: dict[str, Any]) -> Any:
    parts: dict[str, Any] = {}
    for name, section in _sections(owner).items():
        prefix = f"{name}."
        below = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
        parts[name] = _made(section, below)
    return owner(**parts, **{key: value for key, value in values.items() if "." not in key})


def value_of(settings: Settings, key: str) -> Any:
    """Return the value of a dotted key."""
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _sections(owner: type = Settings) -> dict[str, type]:
    hints = get_type_hints(owner)
    return {name: hint for name, hint in hints.items() if isinstance(hint, type) and dataclasses.is_dataclass(hint)}


def _collect(table: dict[str, Field], prefix: str, owner: type) -> None:
    hints = get_type_hints(owner)
    for item in dataclasses.fields(owner):
        hint = hints[item.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            if prefix:  # sections of the top are collected before the keys beside them
                _collect(table, f"{prefix}{item.name}.", hint)
            continue
        default = item.default if item.default is not dataclasses.MISSING else {}
        meta = item.metadata
        table[prefix + item.name] = Field(
            key=prefix + item.name,
            kind=hints[item.name],
            default=default,
            doc=meta["doc"],
            above=meta["above"],
            least=meta["least"],
            secret=meta["secret"],
        )
