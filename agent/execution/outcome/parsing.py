"""Read what an action printed as the value that it declares: text, JSON, YAML or JSON lines (pure).

Output that can't be read is no failure: it stays text. Only what JSON can hold is a value: no NaN, no infinities,
no more than ``MAXIMUM_DEPTH`` levels.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

#: Deepest nesting that is read; the deepest that Attune's other services read.
MAXIMUM_DEPTH = 128


def parse_output(text: str, fmt: str) -> tuple[bool, Any]:
    """Return whether ``text`` holds a value in ``fmt``, and the value (which may be None: JSON has null).

    JSON: the whole text, else its last line. YAML: one document. JSON lines: the list of the lines that are JSON.
    """
    text = _bare(text)
    if not text or fmt == "text":
        return False, None
    if fmt == "json":
        found, value = _json(text)
        return (found, value) if found else _json(_bare(text.rpartition("\n")[2]))
    if fmt == "jsonl":
        lines = [value for found, value in map(_json, map(_bare, text.split("\n"))) if found]
        return bool(lines), lines or None
    if fmt == "yaml":
        return _yaml(text)
    return False, None


def _bare(text: str) -> str:
    """Drop white space around a text, and the byte order mark with which many programs begin each file they write."""
    return text.strip().removeprefix("\ufeff").lstrip()


def _json(text: str) -> tuple[bool, Any]:
    if text.count("[") + text.count("{") > MAXIMUM_DEPTH and _depth(text) > MAXIMUM_DEPTH:
        return False, None
    try:
        return True, _decoder().decode(text)
    except (ValueError, RecursionError):
        return False, None


@cache
def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is out of range")
    return number


def _depth(text: str) -> int:
    """Return the deepest nesting of JSON text, looking at brackets outside strings only."""
    depth = deepest = 0
    for sign in _brackets().findall(text):
        if sign in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in "]}":
            depth -= 1
    return deepest


@cache
def _brackets() -> Any:
    import re

    # A string is one token, so that brackets in it don't count; an unfinished one swallows the rest.
    return re.compile(r'[\[{\]}]|"(?:[^"\\]|\\.)*"?', re.DOTALL)


def _yaml(text: str) -> tuple[bool, Any]:
    # YAML is rare and its reader takes time to import.
    from agent.execution.outcome.yaml_document import read_document

    try:
        return True, read_document(text, maximum_depth=MAXIMUM_DEPTH)
    except ValueError:
        return False, None
