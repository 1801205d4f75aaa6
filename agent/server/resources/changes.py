"""Change a value that may also be taken away: ``{"op": "set", "value": ...}`` or ``{"op": "clear"}``."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from agent.server.problems import Problem


class Change(Struct):
    """What to do with a value that may be null."""

    op: Literal["set", "clear"]
    value: Any = None


def changed(change: Change | None) -> Any:
    """Return the new value, None where it is to be cleared or nothing was asked for. Raises Problem."""
    if change is None or change.op == "clear":
        return None
    if change.value is None:
        raise Problem.invalid('{"op": "set"} needs a value; write {"op": "clear"} to take it away')
    return change.value
