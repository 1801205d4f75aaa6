"""Write parameters as ``NAME='value'`` lines that a shell and a line reader both understand (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from agent.errors import InvalidExecution
from agent.execution.inputs.loader_variables import belongs_to_shell


def to_dotenv(parameters: Mapping[str, Any]) -> str:
    """Return one ``NAME='value'`` per line, sorted bytewise, without a final newline.

    Nested objects become names with dots, empty objects vanish, lists become compact JSON, null an empty value.
    Newlines inside a value stay as they are.

    Raises:
        InvalidExecution: a name holds what a shell could take for code, or is a variable of the shell's own.
    """
    # Sorting by code point is sorting by UTF-8 bytes.
    return "\n".join(sorted(f"{name}={quote(text_of(value))}" for name, value in _flatten(parameters, "")))


def quote(text: str) -> str:
    """Return ``text`` in single quotes; a single quote inside is closed, escaped and opened again (POSIX sh, 2.2.2)."""
    return "'" + text.replace("'", "'\\''") + "'"


def text_of(value: Any, null: str = "") -> str:
    """Return a JSON value as a shell sees it: text raw, numbers and booleans literal, others compact JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return null
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _flatten(parameters: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in parameters.items():
        name = prefix + key
        if isinstance(value, Mapping):
            yield from _flatten(value, name + ".")
        elif not _name().fullmatch(name):
            raise InvalidExecution(f"the parameter name {name[:100]!r} can't be written in the dotenv format")
        elif belongs_to_shell(name):
            raise InvalidExecution(
                f"the parameter {name} can't be written in the dotenv format: it is a shell's own",
                hint="rename it, or let the action take json",
            )
        else:
            yield name, value


@cache
def _name() -> re.Pattern[str]:
    # Names come from whoever asked for the execution, and actions source this document: a name must not be code.
    return re.compile(r"[\w.:@%+/,-]+")
