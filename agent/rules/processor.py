"""From events to executions: each event once, in the one transaction that also says that it is done.

A processor that dies in the middle leaves the event as it was; two of them never hold the same one; and should another
make of processor write the same enforcement, the unique index on rule and event lets only one of them win
(promise: each rule has each event once).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg.types.json import Jsonb

from agent.control.outbox import Outbox
from agent.control.requesting import ExecutionRequest, request_execution
from agent.control.secret_parameters import encrypt_secrets
from agent.db.named_statements import Statements
from agent.db.pool import Connection, Database
from agent.errors import AgentError, DatabaseError
from agent.execution.secrets.redaction import redact_result
from agent.mq.outgoing_messages import execution_requested
from agent.rules.decision import Decision, Failure, decide
from agent.rules.store import Event, Rule

log = logging.getLogger(__name__)

BATCH = 20
"""Events of one transaction."""

Step = Callable[[str], None]
"""Called before each step with its name; tests end the process in it."""


@dataclass
class Counts:
    """What was done: events looked at, rules that matched, and of those the ones that failed."""

    events: int = 0
    matched: int = 0
    failed: int = 0


class RuleProcessor:
    """Takes events that wait. Any number of them may run on one database."""

    def __init__(
        self, database: Database, outbox: Outbox, encryption_key: str | None, step: Step = lambda name: None
    ) -> None:
        """``encryption_key`` is for parameters that an action declares secret."""
        self._database = database
        self._outbox = outbox
        self._key = encryption_key
        self._step = step
        self._sql = Statements("agent.rules")

    def register(self) -> None:
        """Say that events are to wait for this part from now on. Raises DatabaseError."""
        with self._database.connection() as connection:
            self._sql.run(connection, "register_part")

    def run_once(self) -> Counts:
        """Work on some of the events that wait.

        Raises:
            DatabaseError: the database is away or refuses; what was not committed waits on.
        """
        counts = Counts()
        with self._database.connection() as connection:
            taken = self._sql.values(connection, "take_events", {"limit": BATCH})
            for event_id in taken:
                self._process(connection, int(event_id), counts)
            self._step("commit")
        return counts

    def tidy(self) -> None:
        """Forget what nobody asks for any more. Raises DatabaseError."""
        with self._database.connection() as connection:
            self._sql.run(connection, "forget_processed")
            self._sql.run(connection, "forget_deliveries")
            self._sql.run(connection, "forget_event_keys")
            self._sql.run(connection, "forget_webhook_log")

    def _process(self, connection: Connection, event_id: int, counts: Counts) -> None:
        self._step("event")
        event = self._sql.one(connection, Event, "event_for_rules", {"id": event_id})
        rules, note = self._rules(connection, event)
        matched = failed = 0
        for rule in rules:
            assert event is not None, "an event that is gone has no rules"
            decision = decide(rule, event)
            if decision.matches is False:
                continue
            matched += 1
            failed += not self._enforce(connection, rule, event, decision)
        self._step("done")
        done = {"event": event_id, "rules": len(rules), "matched": matched, "failed": failed, "note": note}
        self._sql.run(connection, "event_done", done)
        counts.events += 1
        counts.matched += matched
        counts.failed += failed

    def _rules(self, connection: Connection, event: Event | None) -> tuple[list[Rule], str | None]:
        """Return the rules that may have something to do with an event, and why there are none, if that is special."""
        if event is None:
            return [], "the event was deleted before its turn came"
        if event.trigger_enabled is False:
            return [], f"the trigger {event.trigger_ref} was disabled"
        if event.rule is None and event.rule_ref is not None:
            return [], f"the rule {event.rule_ref}, for which it was sent, was deleted"
        values = {"trigger_ref": event.trigger_ref, "rule": event.rule}
        return self._sql.all(connection, Rule, "rules_of_event", values), None

    def _enforce(self, connection: Connection, rule: Rule, event: Event, decision: Decision) -> bool:
        """Write what follows; a rule that fails takes nothing of another with it. Return whether it did not fail."""
        failure = decision.failure
        if failure is None:
            try:
                with connection.transaction():
                    self._start(connection, rule, event, decision)
                return True
            except (psycopg.DataError, psycopg.IntegrityError, AgentError) as error:
                if isinstance(error, DatabaseError):
                    raise
                failure = Failure("execution", f"rule {rule.ref}: {_sentence(error)}")
        self._step("failure")
        with connection.transaction():
            enforcement = self._enforcement(connection, rule, event, "disabled", None)
            if enforcement is not None:
                values = {"enforcement": enforcement, **failure.__dict__}
                self._sql.run(connection, "note_failure", values)
        log.warning("event %d: %s", event.id, failure.error)
        return False

    def _start(self, connection: Connection, rule: Rule, event: Event, decision: Decision) -> None:
        assert rule.action_ref is not None, "a rule without an action has failed"
        public, secrets = encrypt_secrets(decision.parameters, rule.param_schema, self._key)
        self._step("enforcement")
        enforcement = self._enforcement(connection, rule, event, "processed", Jsonb(public))
        if enforcement is None:
            return  # another make of processor was here
        for secret in secrets:
            values = {"id": enforcement, "path": secret.json_path, "value": Jsonb(secret.value)}
            self._sql.run(connection, "keep_secret", {**values, "hash": secret.key_hash})
        self._step("execution")
        wanted = ExecutionRequest(
            rule.action_ref,
            decision.parameters,
            permission_set_refs=rule.permission_set_refs,
            executor=rule.owner_identity,
            enforcement=enforcement,
        )
        execution: int = request_execution(connection, wanted, self._key)["id"]
        if not self._outbox.in_database:
            now = datetime.now(UTC)
            message = execution_requested(
                execution, rule.action_ref, at=now, enforcement_id=enforcement, config=public, source="executor"
            )
            self._outbox.add(connection, [message])

    def _enforcement(
        self, connection: Connection, rule: Rule, event: Event, status: str, config: Jsonb | None
    ) -> int | None:
        shown, _ = redact_result(event.payload, event.out_schema)
        values = {
            "rule": rule.id,
            "rule_ref": rule.ref,
            "trigger_ref": event.trigger_ref,
            "config": config,
            "event": event.id,
            "status": status,
            "payload": Jsonb(shown),
            "conditions": Jsonb(rule.conditions if rule.conditions is not None else []),
        }
        found = self._sql.value(connection, "enforce", values)
        return None if found is None else int(found)


def _sentence(error: Exception) -> str:
    if isinstance(error, psycopg.Error):
        return (error.diag.message_primary or type(error).__name__)[:500]
    return str(error)[:1500]
