"""Labels, taints and affinity: whether an execution may run on a worker, and how much it is preferred there (pure).

Every value comes from JSON columns that other programs write too, so each access tolerates a wrong shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def selector_problem(selector: Any, labels: Mapping[str, Any]) -> str | None:
    """Say which label differs from the selector, None when all are equal."""
    for key, wanted in _mapping(selector).items():
        if key not in labels:
            return f"has no label {key} (required: {wanted})"
        if labels[key] != wanted:
            return f"its label {key} is {labels[key]}, not {wanted}"
    return None


def taint_problem(taints: Any, tolerations: Any) -> str | None:
    """Say which taint keeps the execution away, None when each one is tolerated."""
    for taint in _mappings(taints):
        if taint.get("effect", "no_schedule") != "no_schedule":
            continue
        if not any(_tolerates(toleration, taint) for toleration in _mappings(tolerations)):
            value = f"={taint['value']}" if taint.get("value") is not None else ""
            return f"its taint {taint.get('key')}{value} is not tolerated"
    return None


def affinity_problem(affinity: Any, labels: Mapping[str, Any]) -> str | None:
    """Say which rule of the affinity forbids this worker, None when none does."""
    rules = _mapping(affinity)
    required = _mappings(rules.get("required"))
    if required and not any(_matches(term, labels) for term in required):
        return "none of the required affinity terms matches its labels"
    if any(_matches(term, labels) for term in _mappings(rules.get("anti_affinity"))):
        return "an anti-affinity term matches its labels"
    return None


def preference(affinity: Any, labels: Mapping[str, Any]) -> int:
    """Return the sum of the weights of the preferred terms that match."""
    total = 0
    for entry in _mappings(_mapping(affinity).get("preferred")):
        weight = entry.get("weight")
        if isinstance(weight, int) and _matches(_mapping(entry.get("preference")), labels):
            total += weight
    return total


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("key") != taint.get("key"):
        return False
    if toleration.get("effect") not in (None, taint.get("effect", "no_schedule")):
        return False
    return toleration.get("operator") == "exists" or toleration.get("value") == taint.get("value")


def _matches(term: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    equal = _mapping(term.get("match_labels"))
    if any(labels.get(key) != value for key, value in equal.items()):
        return False
    return all(_holds(expression, labels) for expression in _mappings(term.get("match_expressions")))


def _holds(expression: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, values = expression.get("key"), expression.get("values")
    listed = labels.get(str(key)) in (values if isinstance(values, list) else [])
    match expression.get("operator"):
        case "in":
            return key in labels and listed
        case "not_in":
            return not (key in labels and listed)
        case "exists":
            return key in labels
        case "does_not_exist":
            return key not in labels
    return False


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
