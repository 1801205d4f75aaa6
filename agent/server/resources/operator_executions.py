"""Executions as the operator's command shows them: the same values that it reads from the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from agent.control.execution_output import LogReader
from agent.control.executions import find, recent
from agent.control.requesting import dispatcher_runs
from agent.control.submission import find_action
from agent.server.call import Answer, Call, data, one, rows
from agent.server.problems import Problem
from agent.server.resources.execution_lists import Status
from agent.server.resources.execution_rows import absent, facts_of
from agent.server.route import Route
from agent.server.shapes import LARGEST_ID, Id, Text

_PACKAGE = "agent.server"
_MOST = 1 << 20


class OperatorExecutionsQuery(Struct, kw_only=True):
    """Which executions, newest first; ``before`` goes on below the one with that id."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 20
    status: Status | None = None
    action_ref: Text | None = None
    before: Id | None = None


class OutputQuery(Struct, kw_only=True):
    """From which byte on."""

    offset: Annotated[int, Meta(ge=0, le=LARGEST_ID)] = 0


def list_all(call: Call) -> Answer:
    """List executions with their parameters and results; secret values are markers."""
    query: OperatorExecutionsQuery = call.query
    found = recent(
        call.services.database,
        limit=query.limit,
        status=query.status,
        action_ref=query.action_ref,
        before=query.before,
    )
    with call.connection() as connection:
        facts = {
            row["id"]: row
            for row in rows(connection, _PACKAGE, "execution_facts", {"ids": [item.id for item in found]})
        }
        shown = [
            item.as_document()
            for item in found
            if item.id in facts and call.caller.may("executions", "read", facts_of(call, connection, facts[item.id]))
        ]
    return data({"items": shown, "next": found[-1].id if len(found) == query.limit else None})


def show(call: Call) -> Answer:
    """Show an execution with its parameters and its result; secret values are markers."""
    _readable(call)
    return data(find(call.services.database, call.path["id"]).as_document())


def output(call: Call) -> Answer:
    """Send what an execution has written to a stream from an offset on, one MiB at most; nothing: no more is there."""
    stream: Literal["stdout", "stderr"] = call.path["stream"]
    if stream not in ("stdout", "stderr"):
        raise Problem.bad("a stream is stdout or stderr")
    _readable(call)
    database, directory = call.services.database, Path(call.settings.artifacts_dir)
    execution = find(database, call.path["id"])
    reader = LogReader(database, directory, execution.id, stream, offset=call.query.offset)
    chunks: list[bytes] = []
    size = 0
    for chunk in reader.read_rest() if execution.ended else reader.read_live():
        chunks.append(chunk[: _MOST - size])
        size += len(chunks[-1])
        if size >= _MOST:
            break
    return Answer(b"".join(chunks), media_type="application/octet-stream")


def parameters(call: Call) -> Answer:
    """Say what an action that can be run takes."""
    action = find_action(call.services.database, call.path["ref"])
    call.caller.require("actions", "execute", {"ref": action.ref, "pack_ref": action.ref.partition(".")[0]})
    return data({"ref": action.ref, "param_schema": action.schema.document})


def dispatcher(call: Call) -> Answer:
    """Say whether a dispatcher runs, which places what is only requested."""
    return data({"running": dispatcher_runs(call.services.database)})


def _readable(call: Call) -> dict[str, Any]:
    with call.connection() as connection:
        row = one(connection, _PACKAGE, "execution", {"id": call.path["id"]}, missing=absent(call))
        call.caller.require("executions", "read", facts_of(call, connection, row))
    return row


_READ = ("executions", "read")
_ALL = "/api/v1/operator/executions"
ROUTES = (
    Route(
        "GET",
        _ALL,
        list_all,
        "List executions as the command does",
        needs=_READ,
        query=OperatorExecutionsQuery,
        answer=dict,
        tag="operator",
    ),
    Route(
        "GET",
        f"{_ALL}/{{id}}",
        show,
        "Show an execution as the command does",
        needs=_READ,
        answer=dict,
        errors=(404,),
        tag="operator",
    ),
    Route(
        "GET",
        f"{_ALL}/{{id}}/output/{{stream}}",
        output,
        "What it wrote, from an offset on",
        needs=_READ,
        query=OutputQuery,
        errors=(404,),
        tag="operator",
    ),
    Route(
        "GET",
        "/api/v1/operator/actions/{ref}/parameters",
        parameters,
        "What an action takes",
        needs=("actions", "execute"),
        answer=dict,
        errors=(404,),
        tag="operator",
    ),
    Route("GET", "/api/v1/operator/dispatcher", dispatcher, "Whether a dispatcher runs", answer=dict, tag="operator"),
)
