"""Accept an execution, or the same again."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from msgspec import Struct

from agent.control.requesting import ExecutionRequest
from agent.control.requesting import request_execution as write_request
from agent.control.submission import check_parameters, find_action
from agent.db.pool import Connection
from agent.errors import UsageError
from agent.server.call import Answer, Call, data, one, rows
from agent.server.delegation import pass_on_sets
from agent.server.idempotency import idempotency_key
from agent.server.problems import Problem
from agent.server.resources.execution_rows import absent, facts_of, shown
from agent.server.route import Route
from agent.server.shapes import Limit, Ref

_PACKAGE = "agent.server"
_ANSWERS = 0x41747453


class ExecuteBody(Struct):
    """What to run; parameters are checked by the worker that runs it."""

    action_ref: Ref
    parameters: dict[str, Any] | None = None
    env_vars: dict[str, str] | None = None
    permission_set_refs: list[Ref] | None = None
    artifact_retention_policy: Literal["versions", "days", "hours", "minutes"] | None = None
    artifact_retention_limit: Limit | None = None
    worker_selector: dict[str, Any] | None = None
    worker_tolerations: list[Any] | None = None
    worker_affinity: dict[str, Any] | None = None


class ExecuteQuery(Struct, kw_only=True):
    """``check``: refuse parameters that don't fit the action now; else its worker does."""

    check: bool = False


def create(call: Call) -> Answer:
    """Accept an execution. With an Idempotency-Key, the same request gives the same execution for a day."""
    body: ExecuteBody = call.body
    facts = {"ref": body.action_ref, "pack_ref": body.action_ref.partition(".")[0]}
    key = idempotency_key(call)
    if call.query.check:
        call.caller.require("actions", "execute", facts)
        database = call.services.database
        check_parameters(database, find_action(database, body.action_ref), body.parameters or {})
    call.caller.require("actions", "execute", facts)
    with call.services.database.flushed_together() as connection:
        found = _request(call, connection, body) if key is None else _once(call, connection, body, key)
    if call.services.dispatcher is not None:
        call.services.dispatcher.wake()
    return data(shown(found), status=201, Location=f"/api/v1/executions/{found['id']}")


def retry(call: Call) -> Answer:
    """Run the same again, with the same parameters, as a new execution."""
    with call.connection() as connection:
        row = one(connection, _PACKAGE, "execution", {"id": call.path["id"]}, missing=absent(call))
        call.caller.require("executions", "read", facts_of(call, connection, row))
        facts = {"ref": row["action_ref"], "pack_ref": row["action_ref"].partition(".")[0]}
        call.caller.require("actions", "execute", facts)
        if row["permission_set_refs"]:
            pass_on_sets(call, connection, row["permission_set_refs"])
        values = {"id": row["id"], "executor": call.caller.identity_id, "reason": "asked for by hand"}
        made = rows(connection, "agent.control", "copy_execution", values)
        if not made:
            why = "its action was deleted" if row["action"] is None else f"it is {row['status']}"
            raise Problem(409, "CONFLICT", f"execution {row['id']} can't be run again: {why}")
        found = one(connection, _PACKAGE, "execution", made[0])
    return data(shown(found), status=201, Location=f"/api/v1/executions/{found['id']}")


def _once(call: Call, connection: Connection, body: ExecuteBody, key: str) -> dict[str, Any]:
    identity = call.caller.identity_id
    digest = hashlib.sha256(call.raw).hexdigest()
    rows(connection, _PACKAGE, "lock_answer", {"space": _ANSWERS, "key": f"{identity}:{key}"})
    before = rows(connection, _PACKAGE, "find_answer", {"identity": identity, "key": key})
    if before:
        if before[0]["body_hash"] != digest:
            raise Problem(422, "UNPROCESSABLE_ENTITY", "this Idempotency-Key was used for another request")
        if before[0]["execution"] is None:
            raise Problem(409, "CONFLICT", "the execution that this Idempotency-Key made was deleted")
        found = {"id": before[0]["execution"]}
        return one(connection, _PACKAGE, "execution", found, missing="it was deleted meanwhile")
    made = _request(call, connection, body)
    values = {"identity": identity, "key": key, "hash": digest, "execution": made["id"]}
    rows(connection, _PACKAGE, "keep_answer", values)
    return made


def _request(call: Call, connection: Connection, body: ExecuteBody) -> dict[str, Any]:
    refs = body.permission_set_refs
    if refs:
        pass_on_sets(call, connection, refs)
    executor, parent = call.caller.identity_id, None
    if call.caller.execution_id is not None:
        parent = call.caller.execution_id
        own = rows(connection, _PACKAGE, "execution", {"id": parent})
        if not own:
            raise Problem(403, "FORBIDDEN", "the execution of this token does not exist")
        executor = own[0]["executor"]
    wanted = ExecutionRequest(
        action_ref=body.action_ref,
        parameters=body.parameters or {},
        env_vars=body.env_vars,
        permission_set_refs=refs,
        executor=executor,
        parent=parent,
        retention_policy=body.artifact_retention_policy,
        retention_limit=body.artifact_retention_limit,
        selector=body.worker_selector,
        tolerations=body.worker_tolerations,
        affinity=body.worker_affinity,
    )
    try:
        return write_request(connection, wanted, call.settings.security.encryption_key)
    except UsageError as error:
        raise Problem.bad(str(error)) from None


ROUTES = (
    Route(
        "POST",
        "/api/v1/executions/execute",
        create,
        "Run an action",
        needs=("actions", "execute"),
        body=ExecuteBody,
        query=ExecuteQuery,
        answer=dict,
        status=201,
        errors=(404, 409),
        tag="executions",
    ),
    Route(
        "POST",
        "/api/v1/executions",
        create,
        "Run an action",
        needs=("actions", "execute"),
        body=ExecuteBody,
        query=ExecuteQuery,
        answer=dict,
        status=201,
        errors=(404, 409),
        tag="executions",
    ),
    Route(
        "POST",
        "/api/v1/executions/{id}/retry",
        retry,
        "Run it again",
        needs=("actions", "execute"),
        answer=dict,
        status=201,
        errors=(404, 409),
        tag="executions",
    ),
)
