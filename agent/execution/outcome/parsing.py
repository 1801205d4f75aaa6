"""Read what an action printed as the value that it declares: text, JSON, YAML or JSON lines (pure).

Output that can't be read is no failure: it stays text. Only what JSON can hold is a value: no NaN, no infinities,
no more levels and values than ``json_text`` allows.
"""

from __future__ import annotations

from typing import Any

from agent.reading.json_text import DEEPEST, Budget, read_json

_DIGITS = "0123456789"
#: How a JSON document ends, by how it begins (RFC 8259).
_ENDS = {"{": "}", "[": "]", '"': '"', "t": "e", "f": "e", "n": "l", **dict.fromkeys("-" + _DIGITS, _DIGITS)}


def parse_output(text: str, fmt: str) -> tuple[bool, Any]:
    """Return whether ``text`` holds a value in ``fmt``, and the value (which may be None: JSON has null).

    JSON: the whole text, else its last line. YAML: one document. JSON lines: the list of the lines that are JSON.
    """
    if fmt == "text":
        return False, None
    text = _bare(text)
    if not text:
        return False, None
    if fmt == "json":
        found, value = _json(text)
        return (found, value) if found else _json(_bare(text.rpartition("\n")[2]))
    if fmt == "jsonl":
        return _json_lines(text)
    if fmt == "yaml":
        return _yaml(text)
    return False, None


def _bare(text: str) -> str:
    """Drop white space around a text, and the byte order mark with which many programs begin each file they write."""
    return text.strip().removeprefix("\ufeff").lstrip()


def _json(text: str, budget: Budget | None = None) -> tuple[bool, Any]:
    try:
        return True, read_json(text, budget)
    except ValueError:
        return False, None


def _json_lines(text: str) -> tuple[bool, Any]:
    """Read line after line within one budget; a document that exceeds it stays text as a whole."""
    budget, values, begin = Budget(), [], 0
    while begin < len(text):
        end = text.find("\n", begin) % (len(text) + 1)  # none: the end
        line = _bare(text[begin:end])
        found, value = _json(line, budget) if line and _may_be_json(line) else (False, None)
        if found:
            values.append(value)
        if budget.exhausted:
            return False, None
        begin = end + 1
    return bool(values), values or None


def _may_be_json(line: str) -> bool:
    """Whether its ends are those of a JSON document: to refuse a line of log in full costs many times as much."""
    end = _ENDS.get(line[0])
    return end is not None and line[-1] in end


def _yaml(text: str) -> tuple[bool, Any]:
    # YAML is rare and its reader takes time to import.
    from agent.execution.outcome.yaml_document import read_document

    try:
        return True, read_document(text, maximum_depth=DEEPEST)
    except ValueError:
        return False, None
