"""Submit an execution without the executor: check, place, schedule, dispatch (minimal dispatcher of the contract)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg.rows import dict_row, tuple_row
from psycopg.types.json import Jsonb

from agent.control.parameter_values import ParameterSchema
from agent.control.secret_parameters import EncryptedParameter, encrypt_secrets
from agent.db.pool import Connection, Database
from agent.db.queries import load_queries
from agent.errors import AgentError, BrokerError, UsageError
from agent.mq.broker import Outgoing
from agent.mq.messages import Dispatch
from agent.mq.outgoing_messages import dispatch
from agent.placement.candidate import Candidate, candidate_of
from agent.placement.choice import choose
from agent.placement.demand import Demand, demand_of

Send = Callable[[Outgoing], None]
"""Publishes one message and returns when the broker has it; raises BrokerError."""


@dataclass(frozen=True)
class SubmittableAction:
    """What submitting needs to know of an action."""

    id: int
    ref: str
    schema: ParameterSchema
    demand: Demand


@dataclass(frozen=True)
class Submitted:
    """An execution that was accepted. ``worker`` is None where a dispatcher will find one; ``behind`` counts the
    executions that it waits for on a worker that is full."""

    id: int
    action_ref: str
    worker_id: int | None
    worker: str | None
    behind: int = 0


def find_action(database: Database, ref: str) -> SubmittableAction:
    """Look an action up.

    Raises:
        UsageError: there is none of this name, or it is a workflow, which only the executor can run.
    """
    queries = load_queries(__package__ or "")
    with database.connection() as connection:
        row = connection.cursor(row_factory=dict_row).execute(queries["find_action"], {"ref": ref}).fetchone()
        if row is None:
            known = [str(known) for (known,) in connection.execute(queries["action_refs"], {"pack_ref": None})]
            raise _unknown_action(ref, known)
    if row["is_workflow"]:
        raise UsageError(f"{ref} is a workflow: only Attune's executor can run it")
    return SubmittableAction(row["id"], row["ref"], ParameterSchema.of(row["param_schema"]), demand_of(row))


def actions(database: Database, pack_ref: str) -> list[str]:
    """Return the refs of a pack's actions."""
    with database.connection() as connection:
        rows = connection.execute(load_queries(__package__ or "")["action_refs"], {"pack_ref": pack_ref})
        return [str(ref) for (ref,) in rows]


def submit(
    database: Database,
    send: Send | None,
    action: SubmittableAction,
    parameters: Mapping[str, Any],
    *,
    encryption_key: str | None = None,
) -> Submitted:
    """Create an execution of ``action`` on the worker that fits best and dispatch it.

    Without ``send`` it is only written: a dispatcher that runs places it.

    Raises:
        UsageError: a parameter is missing, unknown or of a wrong type; all of them are named.
        ConfigurationError: a parameter is secret and there is no ``encryption_key``.
        AgentError: no worker fits; the message says why each one doesn't.
        BrokerError: the dispatch could not be sent; the execution is failed, not left waiting.
    """
    check_parameters(database, action, parameters)
    public, secrets = encrypt_secrets(parameters, action.schema.document, encryption_key)
    with database.connection() as connection:
        execution_id = _insert(connection, action, public, secrets)
        if send is None:
            return Submitted(execution_id, action.ref, None, None)
        worker = _place(connection, action, turn=execution_id)
        updated = _schedule(connection, execution_id, worker.id)
    message = Dispatch(execution_id, action.ref, worker.id, action.schema.with_defaults(public), updated)
    try:
        send(dispatch(message, at=datetime.now(UTC)))
    except BrokerError as error:
        _fail(database, execution_id, error)
        raise
    return Submitted(execution_id, action.ref, worker.id, worker.name, max(0, 1 - worker.free))


def check_parameters(database: Database, action: SubmittableAction, parameters: Mapping[str, Any]) -> None:
    """Refuse what an action doesn't take, now instead of when it runs.

    Raises:
        UsageError: a parameter is missing, unknown or of a wrong type; all of them are named.
    """
    supplied = _supplied(database, action)
    problems = [one for one in action.schema.problems(parameters) if one.removesuffix(" is required") not in supplied]
    if problems:
        raise UsageError(f"{action.ref}: " + "; ".join(problems))


def _supplied(database: Database, action: SubmittableAction) -> set[str]:
    """Return the parameters that stored keys give to the action, so that nobody need pass them."""
    with database.connection() as connection:
        rows = connection.execute(load_queries(__package__ or "")["supplied_names"], {"action": action.id})
        return {str(name) for (name,) in rows}


def _unknown_action(ref: str, known: list[str]) -> UsageError:
    close = difflib.get_close_matches(ref, known, n=3, cutoff=0.6)
    if close:
        hint = "did you mean " + " or ".join(close) + "?"
    else:
        hint = "register its pack with: attune pack register PATH" if "." in ref else "write it as pack.action"
    return UsageError(f"there is no action {ref}", hint=hint)


def _insert(
    connection: Connection, action: SubmittableAction, parameters: Mapping[str, Any], secrets: list[EncryptedParameter]
) -> int:
    queries = load_queries(__package__ or "")
    row = connection.execute(
        queries["insert_execution"],
        {"action": action.id, "action_ref": action.ref, "config": Jsonb(dict(parameters))},
    ).fetchone()
    assert row is not None, "INSERT ... RETURNING gives one row"
    execution_id = int(row[0])
    for secret in secrets:
        connection.execute(
            queries["insert_secret"],
            {"id": execution_id, "path": secret.json_path, "value": Jsonb(secret.value), "hash": secret.key_hash},
        )
    return execution_id


def _place(connection: Connection, action: SubmittableAction, *, turn: int) -> Candidate:
    """Choose a worker; raising undoes the transaction, so that no execution stays that nobody can run."""
    rows = connection.cursor(row_factory=dict_row).execute(load_queries(__package__ or "")["candidates"])
    candidates = [candidate_of(row) for row in rows]
    placement = choose(action.demand, candidates, turn=turn)
    if placement.worker is not None:
        return placement.worker
    if not candidates:
        raise AgentError("no worker is registered", hint="start one, e.g. with: attune-agent")
    lines = "; ".join(f"{name} {reason}" for name, reason in placement.refusals)
    see = f"attune runtime explain {action.ref}" if action.demand.version_constraint else "attune worker list"
    raise AgentError(f"no worker can run {action.ref}: {lines}", hint=f"see: {see}")


def _schedule(connection: Connection, execution_id: int, worker_id: int) -> datetime:
    row = (
        connection.cursor(row_factory=tuple_row)
        .execute(load_queries(__package__ or "")["schedule_execution"], {"id": execution_id, "worker": worker_id})
        .fetchone()
    )
    assert row is not None, "nobody else has seen this row yet"
    return row[0]  # type: ignore[no-any-return]


def _fail(database: Database, execution_id: int, error: BrokerError) -> None:
    result = {"succeeded": False, "error": f"could not be dispatched: {error}", "failed_by": "attune"}
    with database.connection() as connection:
        connection.execute(
            load_queries(__package__ or "")["fail_undispatched"], {"id": execution_id, "result": Jsonb(result)}
        )
