"""Read ``param_schema`` and ``out_schema``: flat, or JSON Schema with ``properties`` (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def schema_fields(schema: Any) -> Mapping[str, Any]:
    """Return name → definition of a schema, whether it is flat or JSON Schema with ``properties``.

    A flat schema may itself have a field called ``properties``: that one holds texts, not only objects.
    """
    if not schema or not isinstance(schema, Mapping):
        return {}
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and (
        schema.get("type") == "object" or all(isinstance(field, Mapping) for field in properties.values())
    ):
        return properties
    return schema
