"""Why an event started what it started, and nothing else: what was recorded, and what each rule would say now."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from agent.db.named_statements import Statements
from agent.db.pool import Connection
from agent.errors import NotFound
from agent.rules.decision import decide
from agent.rules.explained_event import Explained, RuleOutcome
from agent.rules.store import Event, Rule


class _Record(NamedTuple):
    known: bool
    processed: datetime | None
    matched: int | None
    failed: int | None
    note: str | None


class _Enforced(NamedTuple):
    id: int
    rule: int | None
    rule_ref: str
    status: str
    error: str | None
    execution: int | None
    execution_status: str | None


def explain_event(connection: Connection, event_id: int) -> Explained:
    """Look at an event, at what was written of it, and at the rules of its trigger as they are now. Raises NotFound."""
    sql = Statements("agent.rules")
    event = sql.one(connection, Event, "event_for_rules", {"id": event_id})
    record = sql.one(connection, _Record, "event_record", {"id": event_id})
    if event is None or record is None:
        raise NotFound(f"there is no event {event_id}", hint="see: attune event list")
    enforced = {
        one.rule_ref: one for one in sql.all(connection, _Enforced, "enforcements_of_event", {"event": event_id})
    }
    rules = sql.all(connection, Rule, "rules_to_explain", {"trigger_ref": event.trigger_ref})
    outcomes = [_recorded(one) for one in enforced.values()]
    outcomes += [_judged(rule, event, record) for rule in rules if rule.ref not in enforced]
    sentence = _sentence(event, record, outcomes)
    return Explained(event.id, event.trigger_ref, event.created, record.processed, sentence, outcomes)


def _recorded(one: _Enforced) -> RuleOutcome:
    if one.error is not None:
        return RuleOutcome(one.rule_ref, "failed", one.error)
    if one.execution is None:
        return RuleOutcome(one.rule_ref, "disabled", f"enforcement {one.id} is {one.status} and has no execution")
    return RuleOutcome(
        one.rule_ref, "started", f"it started execution {one.execution}, now {one.execution_status}", one.execution
    )


def _judged(rule: Rule, event: Event, record: _Record) -> RuleOutcome:
    if event.rule_ref is not None and event.rule_ref != rule.ref:
        return RuleOutcome(rule.ref, "not_asked", f"the event was sent for the rule {event.rule_ref} alone")
    if not rule.enabled:
        return RuleOutcome(rule.ref, "disabled", f"the rule is off; on: attune rule enable {rule.ref}")
    if event.trigger_enabled is False:
        return RuleOutcome(rule.ref, "disabled", "the trigger is off")
    decision = decide(rule, event)
    if decision.failure is not None:
        return RuleOutcome(rule.ref, "failed", f"it would fail now: {decision.failure.error}")
    if decision.matches:
        when = "it was not there, was off or was another then" if record.processed else "its turn has not come yet"
        return RuleOutcome(rule.ref, "would_match", f"it would match now; {when}")
    return RuleOutcome(rule.ref, "no_match", "its condition does not hold")


def _sentence(event: Event, record: _Record, outcomes: list[RuleOutcome]) -> str:
    if record.note:
        return f"nothing was started: {record.note}"
    if any(one.outcome == "started" for one in outcomes):
        count = sum(one.outcome == "started" for one in outcomes)
        return f"{count} rule{'s' if count > 1 else ''} started something"
    if record.known and record.processed is None:
        return "it waits for the rule processor; is attune server running with the part rules?"
    if not record.known:
        return "no rule processor of ours ran when it was made: nothing looked at it"
    if any(one.outcome == "failed" for one in outcomes):
        return "nothing was started: a rule that listens to it failed"
    if not outcomes:
        return f"nothing was started: no rule listens to {event.trigger_ref}"
    return "nothing was started: no rule that was on matched it"


def shown(found: Explained) -> dict[str, Any]:
    """Return it as JSON says it."""
    return {**found.__dict__, "rules": [one.__dict__ for one in found.rules]}
