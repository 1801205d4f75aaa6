"""Check parameters against an action's ``param_schema``, and read ``name=value`` from a command line (pure).

Two shapes of schema exist: flat (``{name: {type, required, default}}``) and JSON Schema (``properties``, ``required``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.errors import UsageError

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


@dataclass(frozen=True)
class ParameterSchema:
    """What an action declares. An empty or absent schema declares nothing and so refuses nothing."""

    properties: Mapping[str, Mapping[str, Any]]
    required: frozenset[str]
    open: bool
    document: Any = None

    @classmethod
    def of(cls, schema: Any) -> ParameterSchema:
        """Read the column ``param_schema`` of either shape."""
        document: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
        is_json_schema = isinstance(document.get("properties"), Mapping)
        raw = document["properties"] if is_json_schema else document
        properties = {name: entry for name, entry in raw.items() if isinstance(entry, Mapping)}
        required = {name for name, entry in properties.items() if entry.get("required") is True}
        if is_json_schema and isinstance(document.get("required"), list):
            required |= {str(name) for name in document["required"]}
        is_open = not properties or bool(is_json_schema and document.get("additionalProperties"))
        return cls(properties, frozenset(required), is_open, schema)

    @property
    def secrets(self) -> frozenset[str]:
        """Names whose values may not be shown."""
        return frozenset(name for name, entry in self.properties.items() if entry.get("secret") is True)

    def with_defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``given`` with the declared default of whatever is missing or null."""
        defaults = {name: entry["default"] for name, entry in self.properties.items() if "default" in entry}
        return {**given, **{name: value for name, value in defaults.items() if given.get(name) is None}}

    def problems(self, given: Mapping[str, Any]) -> list[str]:
        """Return one sentence for each parameter that is missing, unknown or of a wrong type."""
        complete = self.with_defaults(given)
        found = [f"{name} is required" for name in sorted(self.required) if complete.get(name) is None]
        for name, value in given.items():
            if name in self.properties:
                found += _mismatches(name, value, self.properties[name])
            elif not self.open:
                found.append(f"{name} is not a parameter of this action (it has {', '.join(self.properties)})")
        return found


def read_parameters(pairs: Sequence[str], document: str | None, schema: ParameterSchema) -> dict[str, Any]:
    """Read ``--params`` (a JSON object), then ``--param name=value``, each value by its declared type.

    Raises:
        UsageError: the JSON is no object, a pair has no ``=``, or a value can't have its declared type.
    """
    values: dict[str, Any] = _object(document) if document is not None else {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {pair!r} must be written name=value")
        values[name] = _typed(name, text, schema.properties.get(name, {}).get("type"))
    return values


def _object(document: str) -> dict[str, Any]:
    try:
        values = json.loads(document)
    except ValueError as error:
        raise UsageError(f"--params is not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise UsageError("--params must be a JSON object")
    return values


def _typed(name: str, text: str, kind: Any) -> Any:
    if kind == "string" or kind is None or not isinstance(kind, str) or kind not in _TYPES:
        return text
    try:
        return json.loads(text.lower() if kind == "boolean" else text)
    except ValueError:
        raise UsageError(f"--param {name} must be {_article(kind)}, not {text!r}") from None


def _mismatches(name: str, value: Any, entry: Mapping[str, Any]) -> list[str]:
    kinds = entry.get("type")
    names = [
        kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(kind, str) and kind in _TYPES
    ]
    if value is not None and names and not any(_is(value, kind) for kind in names):
        return [f"{name} must be {' or '.join(map(_article, names))}, not {_article(_kind_of(value))}"]
    choices = entry.get("enum")
    if isinstance(choices, list) and value is not None and value not in choices:
        return [f"{name} must be one of {', '.join(map(str, choices))}"]
    return _out_of_range(name, value, entry)


def _out_of_range(name: str, value: Any, entry: Mapping[str, Any]) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return []
    least, most = entry.get("minimum"), entry.get("maximum")
    if isinstance(least, int | float) and value < least:
        return [f"{name} must be at least {least}"]
    if isinstance(most, int | float) and value > most:
        return [f"{name} must be at most {most}"]
    return []


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, float) and value.is_integer())


def _kind_of(value: Any) -> str:
    return next((kind for kind in _TYPES if _is(value, kind)), "something else")


def _article(kind: str) -> str:
    return {"null": "null"}.get(kind, f"an {kind}" if kind[0] in "aeio" else f"a {kind}")
