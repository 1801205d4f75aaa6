"""A form made of an action's ``param_schema``, and the parameters that a form that came back holds (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.control.parameter_values import ParameterSchema
from agent.server.strict_json import BadJson, read_json

_FEW = 5
PREFIX = "p."
"""Before the name of each field, so that a parameter can be called anything."""


@dataclass(frozen=True)
class Field:
    """One parameter. ``control`` is what is shown: text, password, number, checkbox, radio, select, area or json."""

    name: str
    control: str
    label: str
    description: str
    required: bool
    choices: tuple[str, ...]
    value: str
    problem: str = ""
    step: str = "any"

    @property
    def id(self) -> str:
        """The name of its control in the page."""
        return PREFIX + self.name


@dataclass
class Filled:
    """What a form that came back holds; ``problems`` are by the name of the parameter."""

    parameters: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def fields_of(schema: ParameterSchema, sent: Mapping[str, str] | None, problems: Mapping[str, str]) -> list[Field]:
    """Return the fields, required ones first; with ``sent``, what was typed - but never a secret again."""
    found = []
    for name, entry in sorted(schema.properties.items(), key=lambda pair: pair[0] not in schema.required):
        choices = entry.get("enum") if isinstance(entry.get("enum"), list) else []
        control = _control(entry, choices or [])
        secret = name in schema.secrets
        value = _text(entry.get("default")) if sent is None else sent.get(PREFIX + name, "")
        found.append(
            Field(
                name=name,
                control="password" if secret else control,
                label=_words(entry.get("label") or entry.get("title")) or name,
                description=_words(entry.get("description")),
                required=name in schema.required,
                choices=tuple(_text(choice) for choice in choices or ()),
                value="" if secret else value,
                problem=problems.get(name, ""),
                step="1" if _kind(entry) == "integer" else "any",
            )
        )
    return found


def read_form(schema: ParameterSchema, sent: Mapping[str, str], supplied: frozenset[str] = frozenset()) -> Filled:
    """Turn what was typed into parameters, each of its declared type; an empty field is no parameter."""
    found = Filled()
    for name, entry in schema.properties.items():
        text = sent.get(PREFIX + name, "")
        kind = _kind(entry)
        if kind == "boolean" and not entry.get("enum"):
            if (PREFIX + name) in sent or entry.get("default") is True:
                found.parameters[name] = text == "true"
            continue
        if text.strip() == "" and (kind != "string" or name not in schema.required or not text):
            continue
        _read(found, name, kind, text)
    extra = sent.get("json", "").strip()
    if extra:
        _read_all(found, extra)
    for problem in schema.problems(found.parameters):
        name = problem.split(" ", 1)[0]
        if not (problem.endswith("is required") and name in supplied):
            found.problems.setdefault(name, problem)
    return found


def _read(found: Filled, name: str, kind: str, text: str) -> None:
    if kind == "string":
        found.parameters[name] = text.replace("\r\n", "\n")
        return
    try:
        value = read_json(text.encode())
    except BadJson as error:
        where = str(error).rpartition(": line ")
        line = f": line {where[2].split(' ')[0]}" if where[1] and "\n" in text else ""
        found.problems[name] = f"{name} must be {_article(kind)}{line}"
        found.parameters[name] = None
        return
    found.parameters[name] = value


def _read_all(found: Filled, text: str) -> None:
    try:
        value = read_json(text.encode())
    except BadJson as error:
        found.problems["json"] = str(error).replace("the body", "this")
        return
    if isinstance(value, dict):
        found.parameters |= value
    else:
        found.problems["json"] = 'this must be a JSON object, as {"name": "value"}'


def _control(entry: Mapping[str, Any], choices: list[Any]) -> str:
    kind = _kind(entry)
    if choices:
        return "radio" if len(choices) <= _FEW else "select"
    if kind in ("integer", "number"):
        return "number"
    if kind == "boolean":
        return "checkbox"
    if kind in ("array", "object"):
        return "json"
    return "area" if entry.get("multiline") is True or entry.get("format") in ("multiline", "text") else "text"


def _kind(entry: Mapping[str, Any]) -> str:
    kind = entry.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "string")
    return kind if isinstance(kind, str) and kind in ("integer", "number", "boolean", "array", "object") else "string"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _words(value: Any) -> str:
    return value[:2000] if isinstance(value, str) else ""


def _article(kind: str) -> str:
    return {"integer": "a whole number", "array": "a JSON list", "object": "a JSON object"}.get(kind, f"a {kind}")
