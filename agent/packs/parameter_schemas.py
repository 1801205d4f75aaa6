"""Checks the declaration of parameters or results: ``{name: {type, default, …}}``, or JSON Schema's ``properties``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.packs.mapping_reader import MappingReader

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "list": (list,),
    "object": (dict,),
}
_FREE = ("any", "null", "date", "datetime", "secret")


def read_schema(fields: MappingReader, *names: str) -> Mapping[str, Any] | None:
    """Read a schema under the first of ``names`` that is there; None when there is none."""
    section = fields.section(*names)
    if section is None:
        return None
    properties = section.section("properties") if _is_json_schema(section) else section
    if properties is not None:
        for name in properties.names():
            declaration = properties.section(name)
            if declaration is not None:
                _check(declaration, nested_required=properties is not section)
    return fields.mapping(*names) or {}


def _is_json_schema(section: MappingReader) -> bool:
    """A flat schema may have a parameter called ``type`` or ``properties``, but then that is a mapping."""
    found = section.find("type")
    return "properties" in section.names() and (found is None or found[1].value == "object")


def _check(declaration: MappingReader, *, nested_required: bool) -> None:
    kinds = _kinds(declaration)
    if not nested_required:
        declaration.flag("required")
    declaration.flag("secret")
    declaration.text("description")
    enum = declaration.find("enum")
    options = declaration.document.value(enum[1], f"{declaration.path}.enum") if enum else None
    if enum and not isinstance(options, list):
        declaration.complain("enum", "must be a list")
        options = None
    found = declaration.find("default")
    if found is None:
        return
    default = declaration.document.value(found[1], f"{declaration.path}.default")
    if default is None:
        return
    if kinds and not any(_fits(default, kind) for kind in kinds):
        declaration.complain("default", f"{default!r} is not of type {' or '.join(kinds)}")
    elif isinstance(options, list) and default not in options:
        declaration.complain("default", f"{default!r} is not one of {options!r}")


def _kinds(declaration: MappingReader) -> tuple[str, ...]:
    found = declaration.find("type")
    value = declaration.document.value(found[1], f"{declaration.path}.type") if found else None
    kinds = tuple(value) if isinstance(value, list) else (value,) if value is not None else ()
    for kind in kinds:
        if not isinstance(kind, str) or (kind not in _TYPES and kind not in _FREE):
            declaration.complain("type", f"{kind!r} is not a type; known are {', '.join([*_TYPES, 'any'])}")
            return ()
    return kinds


def _fits(value: Any, kind: str) -> bool:
    if kind in _FREE:
        return True
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
