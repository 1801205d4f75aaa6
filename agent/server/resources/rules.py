"""Rules: which event starts which action, with which parameters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from agent.mq.outgoing_messages import rule_created, rule_switched
from agent.rules.saving import prepare_rule, wrong_ref
from agent.server.call import Answer, Call, counted_page, data, deleted, one, rows
from agent.server.delegation import pass_on_sets
from agent.server.problems import Problem
from agent.server.route import Route
from agent.server.shapes import Label, Paging, Ref, Text

_PACKAGE = "agent.rules"


class RulesQuery(Paging, kw_only=True):
    """Which rules."""

    enabled: bool | None = None


class NewRule(Struct):
    """A rule."""

    ref: Ref
    pack_ref: Ref
    label: Label
    action_ref: Ref
    trigger_ref: Ref
    description: Text | None = None
    conditions: Any = None
    action_params: dict[str, Any] = {}
    trigger_params: dict[str, Any] = {}
    permission_set_refs: list[Ref] | None = None
    enabled: bool = True


class RuleChange(Struct):
    """What is to be different."""

    label: Label | None = None
    description: Text | None = None
    action_ref: Ref | None = None
    trigger_ref: Ref | None = None
    conditions: Any = UNSET
    action_params: dict[str, Any] | None = None
    trigger_params: dict[str, Any] | None = None
    permission_set_refs: list[Ref] | UnsetType | None = UNSET
    enabled: bool | None = None


def list_all(call: Call) -> Answer:
    """List rules by ref."""
    filters = {name: call.path.get(name) for name in ("pack_ref", "action_ref", "trigger_ref")}
    values = filters | {"enabled": call.query.enabled} | call.query.window()
    with call.connection() as connection:
        found = rows(connection, _PACKAGE, "list_rules", values)
        total = one(connection, _PACKAGE, "count_rules", values)["total"]
    return counted_page(call, found, total)


def list_enabled(call: Call) -> Answer:
    """List the rules that are on."""
    call.query.enabled = True
    return list_all(call)


def show(call: Call) -> Answer:
    """Show a rule."""
    with call.connection() as connection:
        return data(_rule(call, connection))


def create(call: Call) -> Answer:
    """Make a rule that no pack's file describes."""
    body: NewRule = call.body
    wrong = wrong_ref(body.ref, body.pack_ref)
    if wrong:
        raise Problem.invalid(f"ref: {wrong}")
    call.caller.require("rules", "create", {"ref": body.ref, "pack_ref": body.pack_ref})
    with call.connection() as connection:
        pack = one(
            connection, _PACKAGE, "target_pack", {"ref": body.pack_ref}, missing=f"there is no pack {body.pack_ref}"
        )
        values = {name: getattr(body, name) for name in body.__struct_fields__}
        values |= {"pack": pack["id"], "owner": call.caller.identity_id}
        values |= _checked(call, connection, values)
        rows(connection, _PACKAGE, "create_rule", values)
        found = one(connection, _PACKAGE, "rule", {"ref": body.ref})
        _tell(call, connection, rule_created(found, at=datetime.now(UTC)))
    return data(found, message="Rule created successfully", status=201, Location=f"/api/v1/rules/{body.ref}")


def update(call: Call) -> Answer:
    """Change a rule; what is not named stays."""
    body: RuleChange = call.body
    with call.connection() as connection:
        before = _rule(call, connection)
        call.caller.require("rules", "update", {"ref": before["ref"], "pack_ref": before["pack_ref"]})
        given = {name: getattr(body, name) for name in body.__struct_fields__}
        clearable = ("conditions", "permission_set_refs")
        values = before | {
            name: value
            for name, value in given.items()
            if value is not UNSET and (value is not None or name in clearable)
        }
        values |= _checked(call, connection, values)
        rows(connection, _PACKAGE, "update_rule", values)
        found = one(connection, _PACKAGE, "rule", {"ref": before["ref"]})
        now = datetime.now(UTC)
        moved = before["trigger_ref"] != found["trigger_ref"]
        if before["enabled"] and (moved or not found["enabled"]):
            _tell(call, connection, rule_switched(before, on=False, at=now))
        if found["enabled"] and (moved or not before["enabled"] or before["trigger_params"] != found["trigger_params"]):
            _tell(call, connection, rule_switched(found, on=True, at=now))
    return data(found, message="Rule updated successfully")


def delete(call: Call) -> Answer:
    """Delete a rule; what it started keeps its ref."""
    with call.connection() as connection:
        before = _rule(call, connection)
        call.caller.require("rules", "delete", {"ref": before["ref"], "pack_ref": before["pack_ref"]})
        rows(connection, _PACKAGE, "delete_rule", {"ref": before["ref"]})
        if before["enabled"]:
            _tell(call, connection, rule_switched(before, on=False, at=datetime.now(UTC)))
    return deleted(f"Rule '{before['ref']}' deleted successfully")


def enable(call: Call) -> Answer:
    """Switch a rule on."""
    return _switch(call, on=True)


def disable(call: Call) -> Answer:
    """Switch a rule off."""
    return _switch(call, on=False)


def _switch(call: Call, *, on: bool) -> Answer:
    with call.connection() as connection:
        before = _rule(call, connection)
        call.caller.require("rules", "update", {"ref": before["ref"], "pack_ref": before["pack_ref"]})
        rows(connection, _PACKAGE, "switch_rule", {"ref": before["ref"], "enabled": on})
        found = one(connection, _PACKAGE, "rule", {"ref": before["ref"]}, missing="it was deleted meanwhile")
        _tell(call, connection, rule_switched(found, on=on, at=datetime.now(UTC)))
    return data(found, message=f"Rule {'enabled' if on else 'disabled'} successfully")


def _checked(call: Call, connection: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Look at everything that a rule names and says; return what its row needs beside."""
    prepared = prepare_rule(connection, values)
    # Whoever makes a rule runs its action later: it must be one that he may run now.
    action_ref = values["action_ref"]
    call.caller.require("actions", "execute", {"ref": action_ref, "pack_ref": action_ref.partition(".")[0]})
    if values["permission_set_refs"]:
        pass_on_sets(call, connection, values["permission_set_refs"])
    return prepared


def _tell(call: Call, connection: Any, message: Any) -> None:
    """Tell services that listen to the broker; ours hear of it from the database."""
    if not call.services.outbox.in_database:
        call.services.outbox.add(connection, [message])


def _rule(call: Call, connection: Any) -> dict[str, Any]:
    missing = f"there is no rule {call.path['ref']}"
    return one(connection, _PACKAGE, "rule", {"ref": call.path["ref"]}, missing=missing)


_READ = ("rules", "read")
_ONE = "/api/v1/rules/{ref}"


def _listing(path: str, handler: Any, summary: str) -> Route:
    return Route("GET", path, handler, summary, needs=_READ, query=RulesQuery, listed=True, answer=dict, tag="rules")


def _change(path: str, handler: Any, summary: str) -> Route:
    return Route("POST", path, handler, summary, needs=("rules", "update"), answer=dict, errors=(404,), tag="rules")


ROUTES = (
    _listing("/api/v1/rules", list_all, "List rules"),
    _listing("/api/v1/rules/enabled", list_enabled, "List rules that are on"),
    _listing("/api/v1/packs/{pack_ref}/rules", list_all, "List a pack's rules"),
    _listing("/api/v1/actions/{action_ref}/rules", list_all, "List the rules that run an action"),
    Route(
        "POST",
        "/api/v1/rules",
        create,
        "Make a rule",
        needs=("rules", "create"),
        body=NewRule,
        answer=dict,
        status=201,
        errors=(404, 409),
        tag="rules",
    ),
    Route("GET", _ONE, show, "Show a rule", needs=_READ, answer=dict, errors=(404,), tag="rules"),
    Route(
        "PUT",
        _ONE,
        update,
        "Change a rule",
        needs=("rules", "update"),
        body=RuleChange,
        answer=dict,
        errors=(404,),
        tag="rules",
    ),
    Route(
        "DELETE",
        _ONE,
        delete,
        "Delete a rule",
        needs=("rules", "delete"),
        answer=dict,
        bare=True,
        errors=(404,),
        tag="rules",
    ),
    _change(f"{_ONE}/enable", enable, "Switch a rule on"),
    _change(f"{_ONE}/disable", disable, "Switch a rule off"),
)
