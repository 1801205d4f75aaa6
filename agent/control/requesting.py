"""Accept an execution: its row, its secrets encrypted beside it, and nothing else; the dispatcher finds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from agent.control.secret_parameters import encrypt_secrets
from agent.db.pool import Connection, Database
from agent.db.queries import load_queries
from agent.errors import NotFound, UsageError
from agent.mq import topology
from agent.mq.broker import Broker

DISPATCHERS = 0x41747450
"""Space of the advisory lock that every dispatcher holds, shared; see ``agent.dispatch``."""


@dataclass(frozen=True)
class ExecutionRequest:
    """What somebody asks for; None means: as the action says."""

    action_ref: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    env_vars: Mapping[str, str] | None = None
    permission_set_refs: list[str] | None = None
    executor: int | None = None
    parent: int | None = None
    enforcement: int | None = None
    retention_policy: str | None = None
    retention_limit: int | None = None
    selector: Mapping[str, Any] | None = None
    tolerations: list[Any] | None = None
    affinity: Mapping[str, Any] | None = None


def request_execution(connection: Connection, wanted: ExecutionRequest, encryption_key: str | None) -> dict[str, Any]:
    """Write the row and return it. Of one enforcement there is one execution: who asks again gets its id alone.

    Raises:
        NotFound: there is no such action.
        UsageError: the placement can't be understood.
        ConfigurationError: a parameter is secret and there is no key to encrypt it with.
    """
    queries = load_queries("agent.control")
    with connection.cursor(row_factory=dict_row) as cursor:
        action = cursor.execute(queries["requestable_action"].encode(), {"ref": wanted.action_ref}).fetchone()
    if action is None:
        raise NotFound(f"there is no action {wanted.action_ref}")
    problem = placement_problem(wanted.selector, wanted.tolerations, wanted.affinity)
    if problem:
        raise UsageError(problem)
    public, secrets = encrypt_secrets(wanted.parameters, action["param_schema"], encryption_key)
    refs = wanted.permission_set_refs
    values = {
        "action": action["id"],
        "action_ref": wanted.action_ref,
        "config": Jsonb(public) if public else None,
        "env_vars": _json(wanted.env_vars),
        "parent": wanted.parent,
        "enforcement": wanted.enforcement,
        "executor": wanted.executor,
        "permission_set_refs": action["permission_set_refs"] if refs is None else refs,
        "retention_policy": wanted.retention_policy or action["retention_policy"],
        "retention_limit": wanted.retention_limit or action["retention_limit"],
        "selector": _json(wanted.selector),
        "tolerations": _json(wanted.tolerations),
        "affinity": _json(wanted.affinity),
        "max_retries": action["max_retries"],
    }
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(queries["request_execution"].encode(), values).fetchone()
        if row is None:
            known = cursor.execute(queries["execution_of_enforcement"].encode(), values).fetchone()
            assert known is not None, "only another execution of the same enforcement is in the way"
            return known
    for secret in secrets:
        connection.execute(
            queries["insert_secret"].encode(),
            {"id": row["id"], "path": secret.json_path, "value": Jsonb(secret.value), "hash": secret.key_hash},
        )
    return row


def dispatcher_runs(database: Database) -> bool:
    """Whether a dispatcher of ours runs on this database now. Raises DatabaseError."""
    with database.connection() as connection:
        sql = load_queries("agent.control")["dispatcher_runs"].encode()
        row = connection.execute(sql, {"space": DISPATCHERS}).fetchone()
        return row is not None and bool(row[0])


def executor_consumes(broker: Broker) -> bool:
    """Whether Attune's executor takes requests from this broker now. Raises BrokerError."""
    return broker.consumers(topology.REQUESTS.name) > 0


def placement_problem(selector: Any, tolerations: Any, affinity: Any) -> str | None:
    """Say what of an execution's own placement can't be understood, None when all can."""
    if selector is not None and not (
        isinstance(selector, Mapping) and all(isinstance(v, str) for v in selector.values())
    ):
        return "worker_selector must map labels to texts"
    if tolerations is not None and not (
        isinstance(tolerations, list)
        and all(isinstance(t, Mapping) and isinstance(t.get("key"), str) for t in tolerations)
    ):
        return "worker_tolerations must be a list of objects that have a key"
    for toleration in tolerations or ():
        if toleration.get("operator", "equal") not in ("equal", "exists"):
            return "the operator of a toleration is equal or exists"
    if affinity is None:
        return None
    names = {"required", "preferred", "anti_affinity"}
    if not isinstance(affinity, Mapping) or set(affinity) - names:
        return "worker_affinity may hold required, preferred and anti_affinity"
    if not all(isinstance(terms, list) and all(isinstance(t, Mapping) for t in terms) for terms in affinity.values()):
        return "each part of worker_affinity must be a list of terms"
    return None


def _json(value: Any) -> Jsonb | None:
    return None if value is None else Jsonb(value)
