"""Enforcements: what each rule made of an event that it matched."""

from __future__ import annotations

from typing import Literal

from agent.server.call import Answer, Call, data, one, page, rows
from agent.server.route import Route
from agent.server.shapes import Id, PerPage, Text

_PACKAGE = "agent.rules"


class EnforcementsQuery(PerPage, kw_only=True):
    """Which enforcements."""

    rule: Id | None = None
    event: Id | None = None
    status: Literal["created", "processed", "disabled"] | None = None
    trigger_ref: Text | None = None
    rule_ref: Text | None = None
    include_total: bool = False


def list_all(call: Call) -> Answer:
    """List enforcements, newest first."""
    query: EnforcementsQuery = call.query
    names = ("rule", "event", "status", "trigger_ref", "rule_ref")
    values = {name: getattr(query, name) for name in names} | query.window()
    with call.connection() as connection:
        found = rows(connection, _PACKAGE, "list_enforcements", values)
        total = one(connection, _PACKAGE, "count_enforcements", values)["total"] if query.include_total else None
    more = len(found) > query.size
    return page(found[: query.size], number=query.page, size=query.per_page, total=total, more=more)


def show(call: Call) -> Answer:
    """Show an enforcement; of one that failed, with the reason."""
    with call.connection() as connection:
        missing = f"there is no enforcement {call.path['id']}"
        found = one(connection, _PACKAGE, "enforcement", {"id": call.path["id"]}, missing=missing)
    failure = {name: found.pop(f"failed_{name}") for name in ("stage", "path", "kind")}
    error = found.pop("error")
    return data(found | {"failure": None if error is None else {"error": error, **failure}})


_READ = ("enforcements", "read")
ROUTES = (
    Route(
        "GET",
        "/api/v1/enforcements",
        list_all,
        "List enforcements",
        needs=_READ,
        query=EnforcementsQuery,
        listed=True,
        answer=dict,
        tag="enforcements",
    ),
    Route(
        "GET",
        "/api/v1/enforcements/{id}",
        show,
        "Show an enforcement",
        needs=_READ,
        answer=dict,
        errors=(404,),
        tag="enforcements",
    ),
)
