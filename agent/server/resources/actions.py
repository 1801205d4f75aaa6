"""Actions: list, search, show; make, change and delete those that no pack's file describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from agent.formats import Delivery, OutputFormat, ParameterFormat
from agent.server.call import Answer, Call, counted_page, data, deleted, one, page, rows
from agent.server.delegation import pass_on_sets
from agent.server.problems import Problem
from agent.server.resources.changes import Change, changed
from agent.server.route import Route
from agent.server.shapes import Id, Label, Paging, Ref, Text

_PACKAGE = "agent.server"
_OPTIONAL = (
    "runtime_ref",
    "runtime_version_constraint",
    "required_worker_runtimes",
    "worker_selector",
    "worker_tolerations",
    "worker_affinity",
    "workflow_def",
    "default_execution_permission_set_refs",
    "artifact_retention_policy",
    "artifact_retention_limit",
    "log_retention_policy",
    "log_retention_limit",
)
Seconds = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Count = Annotated[int, Meta(ge=0, le=1000)]
Entrypoint = Annotated[str, Meta(min_length=1, max_length=1024)]


class ActionsQuery(Paging, kw_only=True):
    """Which actions."""

    executable_with_current_access: bool = False


class SearchQuery(Paging, kw_only=True):
    """Words in the ref, the label or the description; packs separated by commas."""

    q: Text = ""
    packs: Text | None = None


class NewAction(Struct):
    """An action."""

    ref: Ref
    pack_ref: Ref
    label: Label
    entrypoint: Entrypoint
    description: Text | None = None
    runtime: Id | None = None
    runtime_ref: Ref | None = None
    runtime_version_constraint: Text | None = None
    required_worker_runtimes: dict[str, str] = {}
    worker_selector: dict[str, str] = {}
    worker_tolerations: list[dict[str, Any]] = []
    worker_affinity: dict[str, Any] = {}
    param_schema: dict[str, Any] | None = None
    out_schema: dict[str, Any] | None = None
    default_execution_permission_set_refs: list[Ref] = []
    timeout_seconds: Seconds | None = None
    max_retries: Count = 0
    parameter_delivery: Delivery = "stdin"
    parameter_format: ParameterFormat = "json"
    output_format: OutputFormat = "text"


class ActionChange(Struct):
    """What is to be different."""

    label: Label | None = None
    description: Text | None = None
    entrypoint: Entrypoint | None = None
    runtime: Id | None = None
    runtime_ref: Ref | None = None
    runtime_version_constraint: Change | None = None
    param_schema: dict[str, Any] | None = None
    out_schema: dict[str, Any] | None = None
    worker_selector: dict[str, str] | None = None
    worker_tolerations: list[dict[str, Any]] | None = None
    worker_affinity: dict[str, Any] | None = None
    timeout_seconds: Seconds | None = None
    max_retries: Count | None = None


def list_all(call: Call) -> Answer:
    """List actions by ref."""
    if getattr(call.query, "executable_with_current_access", False) and not call.caller.may("actions", "execute"):
        return page([], number=call.query.page, size=call.query.page_size, total=0)
    pack_ref = call.path.get("pack_ref")
    with call.connection() as connection:
        if pack_ref is not None:
            one(connection, _PACKAGE, "pack", {"ref": pack_ref}, missing=f"there is no pack {pack_ref}")
        return _page(call, connection, None if pack_ref is None else [pack_ref], None)


def search(call: Call) -> Answer:
    """Search actions."""
    query: SearchQuery = call.query
    packs = [ref.strip() for ref in query.packs.split(",") if ref.strip()] if query.packs else None
    words = query.q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    with call.connection() as connection:
        return _page(call, connection, packs, f"%{words}%" if words else None)


def show(call: Call) -> Answer:
    """Show an action."""
    with call.connection() as connection:
        found = _action(call, connection)
    call.caller.require("actions", "read", action_facts(found["ref"]))
    return data(found)


def create(call: Call) -> Answer:
    """Make an action that no file describes."""
    body: NewAction = call.body
    if body.ref.partition(".")[0] != body.pack_ref:
        raise Problem.invalid(f"the ref of an action begins with its pack's: {body.pack_ref}.name")
    call.caller.require("actions", "create", {"ref": body.ref, "pack_ref": body.pack_ref})
    with call.connection() as connection:
        pass_on_sets(call, connection, body.default_execution_permission_set_refs)
        pack = one(connection, _PACKAGE, "pack", {"ref": body.pack_ref}, missing=f"there is no pack {body.pack_ref}")
        values = {name: getattr(body, name) for name in body.__struct_fields__} | {
            "pack": pack["id"],
            "runtime": _runtime(connection, body),
            "permission_set_refs": body.default_execution_permission_set_refs,
            **{name: _json(getattr(body, name)) for name in _JSON},
        }
        rows(connection, _PACKAGE, "create_action", values)
        found = one(connection, _PACKAGE, "action", {"ref": body.ref})
    return data(shown(found), message="Action created successfully", status=201, Location=f"/api/v1/actions/{body.ref}")


def update(call: Call) -> Answer:
    """Change an action."""
    body: ActionChange = call.body
    with call.connection() as connection:
        before = _action(call, connection)
        call.caller.require("actions", "update", {"ref": before["ref"], "pack_ref": before["pack_ref"]})
        # Whoever says what an action runs uses what its executions may do.
        pass_on_sets(call, connection, before.get("default_execution_permission_set_refs") or [])
        values = {name: getattr(body, name) for name in body.__struct_fields__} | {
            "ref": before["ref"],
            "runtime": _runtime(connection, body),
            "set_constraint": body.runtime_version_constraint is not None,
            "constraint": changed(body.runtime_version_constraint),
            **{name: _json(getattr(body, name)) for name in _JSON if hasattr(body, name)},
        }
        values.pop("runtime_version_constraint")
        one(connection, _PACKAGE, "update_action", values, missing=_absent(call))
        return data(_action(call, connection), message="Action updated successfully")


def delete(call: Call) -> Answer:
    """Delete an action; its executions keep its ref."""
    with call.connection() as connection:
        before = _action(call, connection)
        call.caller.require("actions", "delete", {"ref": before["ref"], "pack_ref": before["pack_ref"]})
        rows(connection, _PACKAGE, "delete_action", {"ref": before["ref"]})
    return deleted(f"Action '{before['ref']}' deleted successfully")


def queue_stats(call: Call) -> Answer:
    """Show how many executions of an action wait for a place, where a policy limits them."""
    with call.connection() as connection:
        missing = f"action {call.path['ref']} has no queue"
        call.caller.require("actions", "read", action_facts(call.path["ref"]))
        return data(one(connection, _PACKAGE, "queue_stats", {"ref": call.path["ref"]}, missing=missing))


def action_facts(ref: str) -> dict[str, str]:
    """Return what constraints may ask about an action."""
    return {"ref": ref, "pack_ref": ref.partition(".")[0]}


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what isn't set."""
    return {key: value for key, value in row.items() if value or key not in _OPTIONAL}


_JSON = (
    "required_worker_runtimes",
    "worker_selector",
    "worker_tolerations",
    "worker_affinity",
    "param_schema",
    "out_schema",
)


def _page(call: Call, connection: Any, packs: list[str] | None, words: str | None) -> Answer:
    seen = call.caller.packs_with("actions", "read")
    if seen is not None:
        packs = seen if packs is None else [ref for ref in packs if ref in seen]
    values = {"pack_refs": packs, "words": words} | call.query.window()
    found = [shown(row) for row in rows(connection, _PACKAGE, "list_actions", values)]
    total = one(connection, _PACKAGE, "count_actions", values)["total"]
    return counted_page(call, found, total)


def _action(call: Call, connection: Any) -> dict[str, Any]:
    return shown(one(connection, _PACKAGE, "action", {"ref": call.path["ref"]}, missing=_absent(call)))


def _runtime(connection: Any, body: NewAction | ActionChange) -> int | None:
    if body.runtime is None and body.runtime_ref is None:
        return None
    what = body.runtime_ref or body.runtime
    values = {"ref": body.runtime_ref, "id": body.runtime}
    return int(one(connection, _PACKAGE, "runtime_id", values, missing=f"there is no runtime {what}")["id"])


def _absent(call: Call) -> str:
    return f"there is no action {call.path['ref']}"


def _json(value: Any) -> Jsonb | None:
    return None if value is None else Jsonb(value)


_READ = ("actions", "read")
_ONE = "/api/v1/actions/{ref}"
ROUTES = (
    Route(
        "GET",
        "/api/v1/actions",
        list_all,
        "List actions",
        needs=_READ,
        query=ActionsQuery,
        listed=True,
        answer=dict,
        tag="actions",
    ),
    Route(
        "GET",
        "/api/v1/actions/search",
        search,
        "Search actions",
        needs=_READ,
        query=SearchQuery,
        listed=True,
        answer=dict,
        tag="actions",
    ),
    Route(
        "GET",
        "/api/v1/packs/{pack_ref}/actions",
        list_all,
        "List a pack's actions",
        needs=_READ,
        query=Paging,
        listed=True,
        answer=dict,
        errors=(404,),
        tag="actions",
    ),
    Route(
        "POST",
        "/api/v1/actions",
        create,
        "Make an action",
        needs=("actions", "create"),
        body=NewAction,
        answer=dict,
        status=201,
        errors=(404, 409),
        tag="actions",
    ),
    Route("GET", _ONE, show, "Show an action", needs=_READ, answer=dict, errors=(404,), tag="actions"),
    Route(
        "PUT",
        _ONE,
        update,
        "Change an action",
        needs=("actions", "update"),
        body=ActionChange,
        answer=dict,
        errors=(404,),
        tag="actions",
    ),
    Route(
        "DELETE",
        _ONE,
        delete,
        "Delete an action",
        needs=("actions", "delete"),
        answer=dict,
        bare=True,
        errors=(404,),
        tag="actions",
    ),
    Route(
        "GET", f"{_ONE}/queue-stats", queue_stats, "Its queue", needs=_READ, answer=dict, errors=(404,), tag="actions"
    ),
)
