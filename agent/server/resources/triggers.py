"""Triggers: what may happen; and the rules of one, which its sensor follows by a request that waits."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from agent.rules.saving import wrong_ref
from agent.server.call import Answer, Call, Later, counted_page, data, deleted, one, page, rows
from agent.server.problems import Problem
from agent.server.resources.changes import Change, changed
from agent.server.route import ANY, Route
from agent.server.shapes import Label, Paging, Ref, Text

_PACKAGE = "agent.rules"
_LARGEST_PAGE = 1000


class TriggersQuery(Paging, kw_only=True):
    """Which triggers."""

    enabled: bool | None = None


class FollowQuery(Paging, kw_only=True):
    """With ``version``, the one that was answered last, the answer waits for up to ``wait`` seconds for another."""

    version: Annotated[str, Meta(max_length=64)] | None = None
    wait: Annotated[float, Meta(ge=0, le=60)] = 0

    @property
    def size(self) -> int:
        """How many rows a page has."""
        return min(self.page_size, _LARGEST_PAGE)


class NewTrigger(Struct):
    """A trigger."""

    ref: Ref
    label: Label
    pack_ref: Ref | None = None
    description: Text | None = None
    param_schema: dict[str, Any] | None = None
    out_schema: dict[str, Any] | None = None
    enabled: bool = True


class TriggerChange(Struct):
    """What is to be different."""

    label: Label | None = None
    description: Change | None = None
    param_schema: Change | None = None
    out_schema: Change | None = None
    enabled: bool | None = None


def list_all(call: Call) -> Answer:
    """List triggers by ref."""
    values = {"pack_ref": call.path.get("pack_ref"), "enabled": call.query.enabled} | call.query.window()
    with call.connection() as connection:
        found = rows(connection, _PACKAGE, "list_triggers", values)
        total = one(connection, _PACKAGE, "count_triggers", values)["total"]
    return counted_page(call, found, total)


def list_enabled(call: Call) -> Answer:
    """List the triggers that are on."""
    call.query.enabled = True
    return list_all(call)


def show(call: Call) -> Answer:
    """Show a trigger; the key of its webhook only to who may change it."""
    with call.connection() as connection:
        return data(shown(call, trigger_of(call, connection)))


def rules(call: Call) -> Answer | Later:
    """List the rules of a trigger, at once or when they have changed. A sensor's token opens its own triggers only."""
    ref, query = call.path["ref"], call.query
    with call.connection() as connection:
        trigger = trigger_of(call, connection)
        if call.caller.kind != "sensor":
            call.caller.require("rules", "read", {"ref": ref, "pack_ref": trigger["pack_ref"]})
        elif ref not in call.caller.trigger_types:
            raise Problem(403, "FORBIDDEN", f"this token is not for the trigger {ref}")
        known = one(connection, _PACKAGE, "rules_version", {"trigger_ref": ref})
        name = "rules_of_trigger" if call.caller.kind == "sensor" else "list_rules"
        values = {"trigger_ref": ref, "pack_ref": None, "action_ref": None, "enabled": None} | query.window()
        found = rows(connection, _PACKAGE, name, values)
    answer = page(found[: query.size], number=query.page, size=query.page_size, total=known["total"])
    answer.content["version"] = known["version"]
    if query.wait and query.version == known["version"]:
        return Later(ref, query.wait, answer)
    return answer


def create(call: Call) -> Answer:
    """Make a trigger that no pack's file describes."""
    body: NewTrigger = call.body
    pack_ref = body.pack_ref or body.ref.partition(".")[0]
    wrong = wrong_ref(body.ref, pack_ref)
    if wrong:
        raise Problem.invalid(f"ref: {wrong}")
    call.caller.require("triggers", "create", {"ref": body.ref, "pack_ref": pack_ref})
    with call.connection() as connection:
        pack = None
        if body.pack_ref is not None:
            found = {"ref": body.pack_ref}
            pack = one(connection, _PACKAGE, "target_pack", found, missing=f"there is no pack {body.pack_ref}")["id"]
        values = {
            "ref": body.ref,
            "pack": pack,
            "pack_ref": body.pack_ref,
            "label": body.label,
            "description": body.description,
            "enabled": body.enabled,
            "param_schema": _json(body.param_schema),
            "out_schema": _json(body.out_schema),
        }
        rows(connection, _PACKAGE, "create_trigger", values)
        made = shown(call, one(connection, _PACKAGE, "trigger", {"ref": body.ref}))
    return data(made, message="Trigger created successfully", status=201, Location=f"/api/v1/triggers/{body.ref}")


def update(call: Call) -> Answer:
    """Change a trigger."""
    body: TriggerChange = call.body
    with call.connection() as connection:
        before = may_change(call, connection)
        values: dict[str, Any] = {"ref": before["ref"], "label": body.label, "enabled": body.enabled}
        for name in ("description", "param_schema", "out_schema"):
            change = getattr(body, name)
            value = changed(change)
            if value is not None and not isinstance(value, str if name == "description" else dict):
                raise Problem.invalid(f"{name} has another type")
            values |= {f"set_{name}": change is not None, name: value if name == "description" else _json(value)}
        rows(connection, _PACKAGE, "update_trigger", values)
        return data(shown(call, trigger_of(call, connection)), message="Trigger updated successfully")


def delete(call: Call) -> Answer:
    """Delete a trigger; rules that listen to it stay and start nothing any more."""
    with call.connection() as connection:
        before = trigger_of(call, connection)
        call.caller.require("triggers", "delete", {"ref": before["ref"], "pack_ref": before["pack_ref"]})
        rows(connection, _PACKAGE, "delete_trigger", {"ref": before["ref"]})
    return deleted(f"Trigger '{before['ref']}' deleted successfully")


def enable(call: Call) -> Answer:
    """Switch a trigger on."""
    return _switch(call, on=True)


def disable(call: Call) -> Answer:
    """Switch a trigger off: its events start nothing."""
    return _switch(call, on=False)


def _switch(call: Call, *, on: bool) -> Answer:
    with call.connection() as connection:
        before = may_change(call, connection)
        rows(connection, _PACKAGE, "switch_trigger", {"ref": before["ref"], "enabled": on})
        found = shown(call, trigger_of(call, connection))
    return data(found, message=f"Trigger {'enabled' if on else 'disabled'} successfully")


def trigger_of(call: Call, connection: Any) -> dict[str, Any]:
    """Return the trigger that the path names. Raises Problem."""
    missing = f"there is no trigger {call.path['ref']}"
    return one(connection, _PACKAGE, "trigger", {"ref": call.path["ref"]}, missing=missing)


def may_change(call: Call, connection: Any) -> dict[str, Any]:
    """Return the trigger that the path names, if the caller may change it. Raises Problem."""
    found = trigger_of(call, connection)
    call.caller.require("triggers", "update", {"ref": found["ref"], "pack_ref": found["pack_ref"]})
    return found


def shown(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    """Leave out the webhook's key, which is half of what it takes to send to it, where the caller may not change it."""
    if row["webhook_key"] is not None and not call.caller.may(
        "triggers", "update", {"ref": row["ref"], "pack_ref": row["pack_ref"]}
    ):
        return {name: value for name, value in row.items() if name != "webhook_key"}
    return row


def _json(value: Any) -> Jsonb | None:
    return None if value is None else Jsonb(value)


_READ = ("triggers", "read")
_UPDATE = ("triggers", "update")
_ONE = "/api/v1/triggers/{ref}"


def _listing(path: str, handler: Any, summary: str) -> Route:
    return Route(
        "GET", path, handler, summary, needs=_READ, query=TriggersQuery, listed=True, answer=dict, tag="triggers"
    )


def _change(path: str, handler: Any, summary: str) -> Route:
    return Route("POST", path, handler, summary, needs=_UPDATE, answer=dict, errors=(404,), tag="triggers")


ROUTES = (
    _listing("/api/v1/triggers", list_all, "List triggers"),
    _listing("/api/v1/triggers/enabled", list_enabled, "List triggers that are on"),
    _listing("/api/v1/packs/{pack_ref}/triggers", list_all, "List a pack's triggers"),
    Route(
        "POST",
        "/api/v1/triggers",
        create,
        "Make a trigger",
        needs=("triggers", "create"),
        body=NewTrigger,
        answer=dict,
        status=201,
        errors=(404, 409),
        tag="triggers",
    ),
    Route("GET", _ONE, show, "Show a trigger", needs=_READ, answer=dict, errors=(404,), tag="triggers"),
    Route(
        "PUT",
        _ONE,
        update,
        "Change a trigger",
        needs=_UPDATE,
        body=TriggerChange,
        answer=dict,
        errors=(404,),
        tag="triggers",
    ),
    Route(
        "DELETE",
        _ONE,
        delete,
        "Delete a trigger",
        needs=("triggers", "delete"),
        answer=dict,
        bare=True,
        errors=(404,),
        tag="triggers",
    ),
    _change(f"{_ONE}/enable", enable, "Switch a trigger on"),
    _change(f"{_ONE}/disable", disable, "Switch a trigger off"),
    Route(
        "GET",
        f"{_ONE}/rules",
        rules,
        "List the rules of a trigger, when they have changed",
        who=ANY - {"worker"},
        query=FollowQuery,
        listed=True,
        answer=dict,
        errors=(404,),
        tag="triggers",
    ),
)
