"""What one rule makes of one event: nothing, an execution with its parameters, or a failure that says why (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agent.execution.secrets.redaction import secret_paths
from agent.rules.conditions import holds
from agent.rules.expression.values import ExpressionError
from agent.rules.store import Event, Rule
from agent.rules.templates import Source, fill


@dataclass(frozen=True)
class Failure:
    """Why a rule started nothing; ``path`` is what was looked at, ``kind`` its type, both where that is known.

    ``stage`` is condition, parameters or execution.
    """

    stage: str
    error: str
    path: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Decision:
    """``matches`` is None where nobody could tell; then there is a ``failure``."""

    matches: bool | None
    parameters: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None


def decide(rule: Rule, event: Event, *, now: datetime | None = None) -> Decision:
    """Judge an event by a rule. Nothing that a rule or an event says makes it raise."""
    named = event.named()
    try:
        if not holds(rule.conditions, named):
            return Decision(matches=False)
    except (ExpressionError, RecursionError) as error:
        return Decision(None, failure=_failure("condition", rule, error))
    if rule.action_ref is None:
        return Decision(True, failure=Failure("execution", f"rule {rule.ref}: its action was deleted"))
    source = Source(
        {
            "event": named,
            "pack": {"config": dict(rule.pack_config or {})},
            "system": {
                "timestamp": (now or datetime.now(UTC)).isoformat().replace("+00:00", "Z"),
                "rule": {"id": rule.id, "ref": rule.ref},
            },
        },
        frozenset(
            [("pack", "config", *path) for path in secret_paths(rule.pack_schema)]
            + [("event", "payload", *path) for path in secret_paths(event.out_schema)]
        ),
    )
    try:
        filled = fill(rule.action_params, source, list(secret_paths(rule.param_schema)))
    except (ExpressionError, RecursionError) as error:
        return Decision(True, failure=_failure("parameters", rule, error))
    return Decision(True, filled.parameters)


def _failure(stage: str, rule: Rule, error: ExpressionError | RecursionError) -> Failure:
    if isinstance(error, RecursionError):
        return Failure(stage, f"rule {rule.ref}: limit: nested too deep")
    return Failure(stage, f"rule {rule.ref}: {error}"[:2000], error.path[:500] or None, error.kind or None)
