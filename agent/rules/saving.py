"""Look at a rule that somebody wants to save: what it names must be there, and what it says must make sense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from agent.control.parameter_values import ParameterSchema
from agent.db.named_statements import Statements
from agent.db.pool import Connection
from agent.errors import NotFound, UsageError
from agent.rules import conditions, templates


class _Target(NamedTuple):
    id: int
    ref: str
    param_schema: Any


def prepare_rule(connection: Connection, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the row of a rule needs beside ``values``, its other columns.

    Raises:
        NotFound: the action or the trigger is not there.
        UsageError: the condition can't be read, a template names nothing, or a parameter does not fit its schema.
    """
    sql = Statements("agent.rules")
    targets = {}
    for kind in ("action", "trigger"):
        ref = values[f"{kind}_ref"]
        found = sql.one(connection, _Target, f"target_{kind}", {"ref": ref})
        if found is None:
            raise NotFound(f"there is no {kind} {ref}", hint=f"see: attune {kind} list")
        targets[kind] = found
    wrong = conditions.problem(values["conditions"]) or templates.problem(values["action_params"])
    if wrong:
        raise UsageError(wrong)
    for name, kind in (("action_params", "action"), ("trigger_params", "trigger")):
        problems = _problems(values[name] or {}, ParameterSchema.of(targets[kind].param_schema))
        if problems:
            raise UsageError(f"{name}: {'; '.join(problems)}")
    return {
        "action": targets["action"].id,
        "trigger": targets["trigger"].id,
        "conditions": Jsonb([] if values["conditions"] is None else values["conditions"]),
        "action_params": Jsonb(values["action_params"] or {}),
        "trigger_params": Jsonb(values["trigger_params"] or {}),
    }


def wrong_ref(ref: str, pack_ref: str) -> str | None:
    """Say what is wrong with the ref of a rule or trigger of a pack, None when nothing is."""
    if ref.count(".") == 1 and ref == ref.lower() and ref.startswith(f"{pack_ref}.") and not ref.endswith("."):
        return None
    return f"{ref!r:.80} must be its pack's ref and a name, in lower case: {pack_ref}.name"


def _problems(given: Mapping[str, Any], schema: ParameterSchema) -> list[str]:
    """Compare parameters with a schema; the type of a template is not known before there is an event."""
    late = {name for name, value in given.items() if templates.has_template(value)}
    return [
        problem
        for problem in schema.problems(given)
        if problem.partition(" ")[0] not in late or "is not a parameter" in problem
    ]
