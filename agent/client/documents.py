"""Turn what the API answers back into the values that it was made of, by the types of their fields (pure)."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

from agent.errors import AgentError

Kind = TypeVar("Kind")


def value_of(kind: type[Kind], document: Any) -> Kind:
    """Return a value of a dataclass or NamedTuple; what else the document holds is left out.

    Raises:
        AgentError: a field is missing or of another type: it is another version's, or no API of Attune.
    """
    try:
        return typing.cast(Kind, _read(kind, document))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AgentError(
            f"the API's answer can't be understood ({error})", hint="is the server as new as this command?"
        ) from None


def values_of(kind: type[Kind], documents: Any) -> list[Kind]:
    """Return several. Raises AgentError."""
    if not isinstance(documents, list):
        raise AgentError("the API's answer can't be understood", hint="is the server as new as this command?")
    return [value_of(kind, document) for document in documents]


def moments(document: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return a document with the times under ``names`` as times. Raises AgentError."""
    if not isinstance(document, dict):
        raise AgentError("the API's answer can't be understood", hint="is the server as new as this command?")
    try:
        return {key: _moment(one) if key in names and one is not None else one for key, one in document.items()}
    except (TypeError, ValueError) as error:
        raise AgentError(f"the API's answer can't be understood ({error})") from None


def _read(kind: Any, found: Any) -> Any:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if found is None and type(None) in parts:
            return None
        wanted = [part for part in parts if part is not type(None)]
        return _read(wanted[0], found) if len(wanted) == 1 else found
    if origin is tuple:
        return tuple(_read(parts[0], one) for one in _listed(found))
    if origin is list:
        return [_read(parts[0], one) for one in _listed(found)]
    if kind is datetime:
        return _moment(found)
    if kind in (int, str, bool, float):
        if not isinstance(found, (int, float) if kind is float else kind) or (kind is int and found is True):
            raise TypeError(f"{found!r:.100} is not {kind.__name__}")
        return found
    if dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"):
        return kind(**{name: _read(one, found[name]) for name, one in _fields(kind) if name in found})
    return found


def _listed(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise TypeError(f"{found!r:.100} is not a list")
    return found


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


@cache
def _fields(kind: Any) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(kind)
    names = [one.name for one in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else kind._fields
    return tuple((name, hints[name]) for name in names)
