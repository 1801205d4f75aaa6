"""One execution: look at it, cancel it, explain it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from agent.control.cancelling import cancel_row
from agent.control.explaining import explain_execution
from agent.db.pool import Connection
from agent.errors import SecretUnavailable
from agent.execution.secrets.encryption import decrypt
from agent.execution.secrets.redaction import spliced
from agent.server.call import Answer, Call, data, one, page, rows
from agent.server.problems import Problem
from agent.server.resources.execution_rows import absent, facts_of, shown
from agent.server.route import Route
from agent.server.shapes import Paging

_PACKAGE = "agent.server"


class ExecutionQuery(Struct):
    """Whether to put decrypted values where they were taken out."""

    include_secret_values: bool = False


def show(call: Call) -> Answer:
    """Show an execution; secret values only to whoever may decrypt them."""
    with call.connection() as connection:
        row = one(connection, _PACKAGE, "execution", {"id": call.path["id"]}, missing=absent(call))
        call.caller.require("executions", "read", facts_of(call, connection, row))
        if call.query.include_secret_values:
            call.caller.require("executions", "decrypt", facts_of(call, connection, row))
            _reveal(call, connection, row)
    return data(shown(row))


def cancel(call: Call) -> Answer:
    """End an execution: at once while it waits, else by asking its worker."""
    with call.connection() as connection:
        row = one(connection, _PACKAGE, "execution", {"id": call.path["id"]}, missing=absent(call))
        call.caller.require("executions", "cancel", facts_of(call, connection, row))
        _, messages = cancel_row(connection, call.path["id"])
        call.services.outbox.add(connection, messages)
        found = one(connection, _PACKAGE, "execution", {"id": call.path["id"]})
    return data(shown(found))


def explain(call: Call) -> Answer:
    """Say why an execution is where it is, worker by worker."""
    with call.connection() as connection:
        row = one(connection, _PACKAGE, "execution", {"id": call.path["id"]}, missing=absent(call))
        call.caller.require("executions", "read", facts_of(call, connection, row))
        found = explain_execution(connection, call.path["id"])
    return data(found.__dict__)


def history(call: Call) -> Answer:
    """List the changes of an execution's row, newest first."""
    with call.connection() as connection:
        row = one(connection, _PACKAGE, "execution", {"id": call.path["id"]}, missing=absent(call))
        call.caller.require("executions", "read", facts_of(call, connection, row))
        found = rows(connection, _PACKAGE, "execution_history", {"id": row["id"]} | call.query.window())
    size = call.query.size
    return page(found[:size], number=call.query.page, size=size, more=len(found) > size)


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


_READ = ("executions", "read")
ROUTES = (
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
