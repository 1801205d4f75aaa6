"""Whether a rule's condition holds for an event (pure).

Three shapes are written in rules: nothing, ``{"expression": ...}``, and a list of comparisons of fields of the payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.rules.expression.evaluation import check, evaluate
from agent.rules.expression.values import ExpressionError, equal, kind_of, truth

NAMES = frozenset(("event",))
"""What an expression may speak of."""

OPERATORS = ("equals", "not_equals", "contains")
MOST_COMPARISONS = 100


def holds(conditions: Any, event: Mapping[str, Any]) -> bool:
    """Whether the condition holds; ``event`` has ``id``, ``trigger``, ``trigger_ref``, ``payload`` and ``created``.

    An event without a payload matches, whatever is asked of it: rules of existing packs count on that.

    Raises:
        ExpressionError: nobody can tell: it can't be read, or compares what can't be compared.
    """
    if conditions is None or conditions in ({}, []) or event.get("payload") is None:
        return True
    if isinstance(conditions, Mapping):
        if not isinstance(conditions.get("expression"), str):
            return False
        return truth(evaluate(conditions["expression"], {"event": dict(event)}))
    if not isinstance(conditions, list):
        return False
    return all(_compare(one, event["payload"]) for one in conditions)


def problem(conditions: Any) -> str | None:
    """Say what is wrong with a condition that somebody wants to save, None when nothing is."""
    if conditions is None or conditions in ({}, []):
        return None
    if isinstance(conditions, Mapping):
        if set(conditions) != {"expression"} or not isinstance(conditions["expression"], str):
            return 'conditions: an object has the one key "expression", a string'
        try:
            check(conditions["expression"], NAMES)
        except ExpressionError as error:
            return f"conditions.expression: {error}"
        return None
    if not isinstance(conditions, list):
        return f"conditions: must be an array or an object, not {kind_of(conditions)}"
    if len(conditions) > MOST_COMPARISONS:
        return f"conditions: at most {MOST_COMPARISONS} comparisons"
    for index, one in enumerate(conditions):
        if not isinstance(one, Mapping) or not isinstance(one.get("field"), str) or "value" not in one:
            return f"conditions[{index}]: a comparison has field (a string), operator and value"
        if one.get("operator") not in OPERATORS:
            return f"conditions[{index}].operator: is one of {', '.join(OPERATORS)}"
    return None


def _compare(one: Any, payload: Any) -> bool:
    if not isinstance(one, Mapping) or not isinstance(one.get("field"), str):
        raise ExpressionError("a comparison has field, operator and value", kind=kind_of(one))
    found = _field(payload, one["field"])
    wanted = one.get("value")
    operator = one.get("operator")
    if operator == "equals":
        return equal(found, wanted)
    if operator == "not_equals":
        return not equal(found, wanted)
    if operator != "contains":
        return False
    if isinstance(found, list):
        return any(equal(item, wanted) for item in found)
    return isinstance(found, str) and isinstance(wanted, str) and wanted in found


def _field(payload: Any, field: str) -> Any:
    reached = payload
    parts = field.split(".")
    for index, part in enumerate(parts):
        path = ".".join(("payload", *parts[:index]))
        if isinstance(reached, Mapping):
            if part not in reached:
                raise ExpressionError(f"{path} has no field {part[:40]}", path=f"{path}.{part[:40]}", kind="missing")
            reached = reached[part]
        elif isinstance(reached, list) and part.isascii() and part.isdigit() and len(part) < 9:
            if int(part) >= len(reached):
                raise ExpressionError(f"{path} has no item {part}", path=f"{path}.{part}", kind="missing")
            reached = reached[int(part)]
        else:
            raise ExpressionError(f"{path} is {kind_of(reached)} and has no parts", path=path, kind=kind_of(reached))
    return reached
