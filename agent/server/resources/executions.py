"""Executions: create, look at, cancel, try again, explain."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from psycopg import sql
from psycopg.rows import dict_row

from agent.access.grants import missing
from agent.access.identities import grants_of_sets
from agent.control.cancelling import cancel_row
from agent.control.explaining import explain_execution
from agent.control.requesting import ExecutionRequest
from agent.control.requesting import request_execution as write_request
from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.errors import SecretUnavailable, UsageError
from agent.execution.secrets.encryption import decrypt
from agent.execution.secrets.redaction import spliced
from agent.server.call import Answer, Call, data, one, page, rows
from agent.server.caller import STANDARD
from agent.server.problems import Problem
from agent.server.route import Route
from agent.server.shapes import Id, Limit, Paging, PerPage, Ref, Text, matching

_PACKAGE = "agent.server"
_ANSWERS = 0x41747453
_KEY_LENGTH = 255
Status = Literal[
    "requested",
    "scheduling",
    "scheduled",
    "running",
    "completed",
    "failed",
    "canceling",
    "cancelled",
    "timeout",
    "abandoned",
]
_OPTIONAL = (
    "permission_set_refs",
    "artifact_retention_policy",
    "artifact_retention_limit",
    "worker_selector",
    "worker_tolerations",
    "worker_affinity",
    "original_execution",
    "started_at",
    "workflow_task",
)


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


class ExecutionsQuery(PerPage, kw_only=True):
    """Which executions, newest first; ``after`` goes on behind the execution of that id."""

    status: Status | None = None
    action_ref: Text | None = None
    rule_ref: Text | None = None
    trigger_ref: Text | None = None
    pack_name: Text | None = None
    executor: Id | None = None
    enforcement: Id | None = None
    parent: Id | None = None
    worker: Id | None = None
    result_contains: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    top_level_only: bool = False
    include_total: bool = False
    after: Id | None = None


class ExecutionQuery(Struct):
    """Whether to put decrypted values where they were taken out."""

    include_secret_values: bool = False


def create(call: Call) -> Answer:
    """Accept an execution. With an Idempotency-Key, the same request gives the same execution for a day."""
    body: ExecuteBody = call.body
    facts = {"ref": body.action_ref, "pack_ref": body.action_ref.partition(".")[0]}
    key = call.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= _KEY_LENGTH:
        raise Problem.bad(f"an Idempotency-Key has 1 to {_KEY_LENGTH} characters")
    with call.connection() as connection:
        one(connection, _PACKAGE, "action", {"ref": body.action_ref}, missing=f"there is no action {body.action_ref}")
        call.caller.require("actions", "execute", facts)
        if key is None:
            execution_id, made = _request(call, connection, body), True
        else:
            execution_id, made = _once(call, connection, body, key)
        found = _shown(one(connection, _PACKAGE, "execution", {"id": execution_id}, missing="it was deleted meanwhile"))
    if made and call.services.dispatcher is not None:
        call.services.dispatcher.wake()
    return data(found, status=201, Location=f"/api/v1/executions/{execution_id}")


def _once(call: Call, connection: Connection, body: ExecuteBody, key: str) -> tuple[int, bool]:
    identity = call.caller.identity_id
    digest = hashlib.sha256(call.raw).hexdigest()
    rows(connection, _PACKAGE, "lock_answer", {"space": _ANSWERS, "key": f"{identity}:{key}"})
    before = rows(connection, _PACKAGE, "find_answer", {"identity": identity, "key": key})
    if before:
        if before[0]["body_hash"] != digest:
            raise Problem(422, "UNPROCESSABLE_ENTITY", "this Idempotency-Key was used for another request")
        if before[0]["execution"] is None:
            raise Problem(409, "CONFLICT", "the execution that this Idempotency-Key made was deleted")
        return int(before[0]["execution"]), False
    made = _request(call, connection, body)
    values = {"identity": identity, "key": key, "hash": digest, "execution": made}
    rows(connection, _PACKAGE, "keep_answer", values)
    return made, True


def _request(call: Call, connection: Connection, body: ExecuteBody) -> int:
    refs = body.permission_set_refs
    if refs:
        _delegate(call, connection, refs)
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


def _delegate(call: Call, connection: Connection, refs: list[str]) -> None:
    """Nobody passes on what he does not hold."""
    grants, unknown = grants_of_sets(connection, [ref for ref in refs if ref != STANDARD])
    if unknown:
        raise Problem(403, "FORBIDDEN", f"there is no permission set {unknown[0]}")
    lacking = missing(call.caller.grants, grants)
    if lacking:
        raise Problem(403, "FORBIDDEN", f"you can't pass on what you don't hold: {', '.join(lacking[:5])}")


def show(call: Call) -> Answer:
    """Show an execution; secret values only to whoever may decrypt them."""
    with call.connection() as connection:
        row = one(connection, _PACKAGE, "execution", {"id": call.path["id"]}, missing=_absent(call))
        call.caller.require("executions", "read", _facts(call, connection, row))
        if call.query.include_secret_values:
            call.caller.require("executions", "decrypt", _facts(call, connection, row))
            _reveal(call, connection, row)
    return data(_shown(row))


def list_all(call: Call) -> Answer:
    """List executions, newest first."""
    query: ExecutionsQuery = call.query
    with call.connection() as connection:
        filters, values = _filters(call, connection)
        window = {"limit": query.size + 1, "offset": 0} if query.after else query.window()
        found = _listed(connection, "list_executions", filters, values | window)
        total = _listed(connection, "count_executions", filters, values)[0]["total"] if query.include_total else None
    items, more = found[: query.size], len(found) > query.size
    answer = page([_short(row) for row in items], number=query.page, size=query.per_page, total=total, more=more)
    if more:
        answer.headers["Link"] = f'</api/v1/executions?after={items[-1]["id"]}&per_page={query.size}>; rel="next"'
    return answer


def by_status(call: Call) -> Answer:
    """List executions of one status."""
    names = Status.__args__  # type: ignore[attr-defined]
    if call.path["status"] not in names:
        raise Problem.bad(f"there is no status {call.path['status'][:40]}; there are {', '.join(names)}")
    query: Paging = call.query
    with call.connection() as connection:
        filters = [sql.SQL("e.status = %(status)s::execution_status_enum"), *_own(call)]
        values = {"status": call.path["status"], "own": call.caller.execution_id}
        found = _listed(connection, "list_executions", filters, values | query.window())
        total = _listed(connection, "count_executions", filters, values)[0]["total"]
    return page([_short(row) for row in found[: query.size]], number=query.page, size=query.page_size, total=total)


def stats(call: Call) -> Answer:
    """Count executions by what became of them."""
    with call.connection() as connection:
        counts = {row["status"]: row["number"] for row in rows(connection, _PACKAGE, "execution_stats")}
    pending = sum(counts.get(status, 0) for status in ("requested", "scheduling", "scheduled"))
    return data(
        {
            "total": sum(counts.values()),
            "completed": counts.get("completed", 0),
            "failed": counts.get("failed", 0),
            "running": counts.get("running", 0),
            "pending": pending,
            "cancelled": counts.get("cancelled", 0) + counts.get("canceling", 0),
            "timeout": counts.get("timeout", 0),
            "abandoned": counts.get("abandoned", 0),
        }
    )


def cancel(call: Call) -> Answer:
    """End an execution: at once while it waits, else by asking its worker."""
    with call.connection() as connection:
        row = one(connection, _PACKAGE, "execution", {"id": call.path["id"]}, missing=_absent(call))
        call.caller.require("executions", "cancel", _facts(call, connection, row))
        _, messages = cancel_row(connection, call.path["id"])
        call.services.outbox.add(connection, messages)
        found = one(connection, _PACKAGE, "execution", {"id": call.path["id"]})
    return data(_shown(found))


def retry(call: Call) -> Answer:
    """Run the same again, with the same parameters, as a new execution."""
    with call.connection() as connection:
        row = one(connection, _PACKAGE, "execution", {"id": call.path["id"]}, missing=_absent(call))
        call.caller.require("executions", "read", _facts(call, connection, row))
        facts = {"ref": row["action_ref"], "pack_ref": row["action_ref"].partition(".")[0]}
        call.caller.require("actions", "execute", facts)
        if row["permission_set_refs"]:
            _delegate(call, connection, row["permission_set_refs"])
        values = {"id": row["id"], "executor": call.caller.identity_id, "reason": "asked for by hand"}
        made = rows(connection, "agent.control", "copy_execution", values)
        if not made:
            why = "its action was deleted" if row["action"] is None else f"it is {row['status']}"
            raise Problem(409, "CONFLICT", f"execution {row['id']} can't be run again: {why}")
        found = one(connection, _PACKAGE, "execution", made[0])
    return data(_shown(found), status=201, Location=f"/api/v1/executions/{found['id']}")


def explain(call: Call) -> Answer:
    """Say why an execution is where it is, worker by worker."""
    with call.connection() as connection:
        row = one(connection, _PACKAGE, "execution", {"id": call.path["id"]}, missing=_absent(call))
        call.caller.require("executions", "read", _facts(call, connection, row))
        found = explain_execution(connection, call.path["id"])
    return data(found.__dict__)


def history(call: Call) -> Answer:
    """List the changes of an execution's row, newest first."""
    with call.connection() as connection:
        row = one(connection, _PACKAGE, "execution", {"id": call.path["id"]}, missing=_absent(call))
        call.caller.require("executions", "read", _facts(call, connection, row))
        found = rows(connection, _PACKAGE, "execution_history", {"id": row["id"]} | call.query.window())
    size = call.query.size
    return page(found[:size], number=call.query.page, size=size, more=len(found) > size)


def _filters(call: Call, connection: Connection) -> tuple[list[sql.Composable], dict[str, Any]]:
    query: ExecutionsQuery = call.query
    conditions: list[sql.Composable] = [*_own(call)]
    values: dict[str, Any] = {"own": call.caller.execution_id}

    def where(name: str, condition: str, value: Any) -> None:
        if value is not None:
            conditions.append(sql.SQL(condition))
            values[name] = value

    where("status", "e.status = %(status)s::execution_status_enum", query.status)
    for name, column in (("action_ref", "e.action_ref"), ("rule_ref", "f.rule_ref"), ("trigger_ref", "f.trigger_ref")):
        text = getattr(query, name)
        exact = text is None or "*" not in text
        where(
            name, f"{column} = %({name})s" if exact else f"{column} LIKE %({name})s", text if exact else matching(text)
        )
    where("pack_name", "split_part(e.action_ref, '.', 1) = %(pack_name)s", query.pack_name)
    for name in ("executor", "enforcement", "parent", "worker"):
        where(name, f"e.{name} = %({name})s", getattr(query, name))
    where("result_contains", "strpos(lower(e.result::text), lower(%(result_contains)s)) > 0", query.result_contains)
    if query.top_level_only:
        conditions.append(sql.SQL("e.parent IS NULL"))
    if query.after is not None:
        at = one(connection, _PACKAGE, "execution_place", {"id": query.after}, missing="`after` names no execution")
        values |= {"after": query.after, "after_created": at["created"]}
        conditions.append(sql.SQL("(e.created, e.id) < (%(after_created)s, %(after)s)"))
    return conditions, values


def _own(call: Call) -> list[sql.Composable]:
    """An action sees its own execution and those that it started, unless it was given more."""
    if call.caller.kind != "execution" or call.caller.may("executions", "read", {}):
        return []
    return [sql.SQL("(e.id = %(own)s OR e.parent = %(own)s)")]


def _listed(
    connection: Connection, name: str, filters: list[sql.Composable], values: Mapping[str, Any]
) -> list[dict[str, Any]]:

    where = sql.SQL(" AND ").join(filters) if filters else sql.SQL("true")
    statement = sql.SQL(load_queries(_PACKAGE)[name]).format(filters=where)
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, values).fetchall()


def _facts(call: Call, connection: Connection, row: Mapping[str, Any]) -> dict[str, Any]:
    """What constraints may ask about an execution; whether it is the caller's own is looked up only for an action."""
    facts = {"id": row["id"], "ref": row["action_ref"], "pack_ref": row["pack_ref"], "execution_scope": "any"}
    facts["owner"] = "none" if row["executor"] is None else "any"
    if call.caller.kind == "access" and row["executor"] == call.caller.identity_id:
        facts["owner"] = facts["execution_scope"] = "self"
    own = call.caller.execution_id
    if own is not None:
        values = {"id": row["id"], "ancestor": own}
        if row["id"] == own:
            facts["execution_scope"] = "self"
        elif rows(connection, _PACKAGE, "execution_ancestry", values):
            facts["execution_scope"] = "descendants"
    return facts


def _reveal(call: Call, connection: Connection, row: dict[str, Any]) -> None:
    for secret in rows(connection, _PACKAGE, "execution_secrets", {"id": row["id"]}):
        key = call.settings.security.encryption_key
        try:
            value = decrypt(secret["encrypted_value"], key, secret["encryption_key_hash"])
        except SecretUnavailable as error:
            raise Problem(409, "CONFLICT", f"a secret value can't be decrypted: {error}") from None
        column = "config" if secret["entity_type"] == "execution_config" else "result"
        path = tuple(part.replace("~1", "/").replace("~0", "~") for part in secret["json_path"].split("/")[1:])
        row[column] = spliced(row[column], path, value)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in row.items() if key != "pack_ref"}
    return {key: value for key, value in found.items() if not (key in _OPTIONAL and not value)}


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None or key not in _OPTIONAL}


def _absent(call: Call) -> str:
    return f"there is no execution {call.path['id']}"


_READ = ("executions", "read")
ROUTES = (
    Route(
        "POST",
        "/api/v1/executions/execute",
        create,
        "Run an action",
        needs=("actions", "execute"),
        body=ExecuteBody,
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
        answer=dict,
        status=201,
        errors=(404, 409),
        tag="executions",
    ),
    Route(
        "GET",
        "/api/v1/executions",
        list_all,
        "List executions",
        needs=_READ,
        query=ExecutionsQuery,
        listed=True,
        answer=dict,
        errors=(404,),
        tag="executions",
    ),
    Route("GET", "/api/v1/executions/stats", stats, "Count executions", needs=_READ, answer=dict, tag="executions"),
    Route(
        "GET",
        "/api/v1/executions/status/{status}",
        by_status,
        "List executions of a status",
        needs=_READ,
        query=Paging,
        listed=True,
        answer=dict,
        tag="executions",
    ),
    Route(
        "GET",
        "/api/v1/executions/{id}",
        show,
        "Show an execution",
        needs=_READ,
        query=ExecutionQuery,
        answer=dict,
        errors=(404, 409),
        tag="executions",
    ),
    Route(
        "POST",
        "/api/v1/executions/{id}/cancel",
        cancel,
        "End an execution",
        needs=("executions", "cancel"),
        answer=dict,
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
    Route(
        "GET",
        "/api/v1/executions/{id}/explain",
        explain,
        "Say why it waits",
        needs=_READ,
        answer=dict,
        errors=(404,),
        tag="executions",
    ),
    Route(
        "GET",
        "/api/v1/executions/{id}/history",
        history,
        "Changes of an execution",
        needs=_READ,
        query=Paging,
        listed=True,
        answer=dict,
        errors=(404,),
        tag="executions",
    ),
)
