"""What an event costs beside ten thousand rules that it has nothing to do with, and how soon a webhook starts work."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass, replace

from agent.control.outbox import Outbox
from agent.db.pool import Database
from agent.rules.processor import RuleProcessor
from agent.settings import DatabaseSettings
from tests.bench.control_side import running_server
from tests.bench.placing import Session
from tests.bench.stack import Stack, start_agent, stop_agent

TRIGGERS, RULES, EVENTS, ROUNDS = 100, 10_000, 50, 8


def event_costs(stack: Stack) -> tuple[float, float]:
    """Return the seconds for an event that one rule matches: beside ten rules, and beside ten thousand."""
    database = Database(DatabaseSettings(url=stack.database_url), application_name="bench rules")
    processor = RuleProcessor(database, Outbox(in_database=True), None)
    try:
        with stack.connect() as connection:
            processor.register()
            _fill(connection, 10)
            few = _seconds(connection, processor)
            _fill(connection, RULES)
            many = _seconds(connection, processor)
            connection.execute("DELETE FROM trigger WHERE ref LIKE 'bench.trigger%'")
            connection.execute("DELETE FROM rule WHERE ref LIKE 'bench.rule%'")
            connection.execute("DELETE FROM execution WHERE status = 'requested' AND action_ref = 'bench.noop'")
    finally:
        database.close()
    return few, many


def _fill(connection: Session, rules: int) -> None:
    """Spread rules over the triggers; each trigger has as many, and the first one a rule that matches."""
    connection.execute(
        "INSERT INTO trigger (ref, label, enabled) SELECT 'bench.trigger' || n, 'x', true"
        "  FROM generate_series(0, %s) AS n ON CONFLICT DO NOTHING",
        [TRIGGERS - 1],
    )
    connection.execute(
        "INSERT INTO rule (ref, pack, pack_ref, label, action, action_ref, trigger, trigger_ref, conditions, enabled)"
        " SELECT 'bench.rule' || n, a.pack, a.pack_ref, 'x', a.id, a.ref, t.id, t.ref,"
        '        \'{"expression": "event.payload.n == 1"}\', true'
        "   FROM generate_series(0, %s) AS n"
        "   JOIN trigger t ON t.ref = 'bench.trigger' || CASE WHEN n = 0 THEN 0 ELSE 1 + n %% %s END"
        "   JOIN action a ON a.ref = 'bench.noop'"
        " ON CONFLICT DO NOTHING",
        [rules - 1, TRIGGERS - 1],
    )
    connection.execute("ANALYZE rule")


def _seconds(connection: Session, processor: RuleProcessor) -> float:
    """Return what one event costs, the least of some rounds."""
    found = []
    for _ in range(ROUNDS + 1):
        connection.execute(
            "INSERT INTO event (trigger, trigger_ref, payload)"
            " SELECT id, ref, '{\"n\": 1}' FROM trigger, generate_series(1, %s) WHERE ref = 'bench.trigger0'",
            [EVENTS],
        )
        started, matched = time.perf_counter(), 0
        while True:
            counts = processor.run_once()
            matched += counts.matched
            if not counts.events:
                break
        found.append((time.perf_counter() - started) / EVENTS)
        if matched != EVENTS:
            raise RuntimeError(f"{matched} of {EVENTS} events matched their rule")
    return min(found[1:])


@dataclass(frozen=True)
class _Hook:
    """A webhook that starts the action that does nothing."""

    url: str
    secret: str


def webhook_latencies(stack: Stack, count: int = 100) -> list[float]:
    """Return the seconds from sending each signed request until its action runs; one at a time."""
    stack = replace(stack, environment={**stack.environment, "ATTUNE__MESSAGE_QUEUE__URL": "database"})
    agent, _ = start_agent(stack)
    seconds = []
    with running_server(stack) as server, stack.connect() as connection:
        ask = server.client.ok
        ask("POST", "/api/v1/triggers", {"ref": "bench.hook", "label": "x"})
        made = ask("POST", "/api/v1/triggers/bench.hook/webhooks/enable", {"rate_limit": {"requests": 1_000_000}})
        hook = _Hook(made["webhook_url"], made["webhook_secret"])
        rule = {"ref": "bench.hooked", "pack_ref": "bench", "label": "x", "action_ref": "bench.noop"}
        ask("POST", "/api/v1/rules", {**rule, "trigger_ref": "bench.hook"})
        connection.execute("LISTEN execution_status_changed")
        for number in range(count + 20):
            body = json.dumps({"n": number}).encode()
            digest = hmac.new(hook.secret.encode(), body, hashlib.sha256).hexdigest()
            headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={digest}"}
            started = time.perf_counter()
            answer = server.client.as_(None).request("POST", hook.url, content=body, headers=headers)
            if answer.status_code != 200:
                raise RuntimeError(answer.text)
            taken = None
            for notice in connection.notifies(timeout=30):
                if '"running"' in notice.payload and taken is None:
                    taken = time.perf_counter() - started
                if '"completed"' in notice.payload.replace('"old_status": "completed"', ""):
                    break
            if taken is None:
                raise RuntimeError("a webhook started nothing within 30 s")
            if number >= 20:
                seconds.append(taken)
        ask("DELETE", "/api/v1/rules/bench.hooked")
        ask("DELETE", "/api/v1/triggers/bench.hook")
    stop_agent(stack, agent)
    return seconds
