"""The list of executions."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from agent.control.cancelling import ENDED
from agent.control.explaining import waiting_sentences
from agent.server.call import rows
from agent.server.page.endpoints import PageRoute
from agent.server.page.paging import SIZE
from agent.server.page.view import View
from agent.server.resources.execution_lists import STATUSES

_FILTERS = ("status", "action_ref", "pack_name", "worker", "after")
_TABS = (
    ("", "All"),
    ("requested", "Waiting"),
    ("running", "Running"),
    ("completed", "Completed"),
    ("failed", "Failed"),
)
_EXPLAINED = 10
"""Different reasons of a page that are looked into: each look goes through the whole fleet."""


def listed(view: View) -> Response:
    """Show executions, newest first; the filters stand in the address."""
    filters = {name: value for name, value in view.query.items() if name in _FILTERS}
    found = view.ask("GET", "/api/v1/executions", query={**filters, "per_page": SIZE})
    items = found["items"]
    _complete(view, items)
    older = {**filters, "after": items[-1]["id"]} if found["pagination"]["has_next"] else None
    tabs = [(title, {**_without(filters, "status", "after"), "status": status}, status) for status, title in _TABS]
    chips = [(name, value, _without(filters, name, "after")) for name, value in filters.items() if name != "after"]
    return view.show(
        "executions.html",
        section="executions",
        items=items,
        filters=filters,
        tabs=tabs,
        chips=chips,
        older=older,
        newest=_without(filters, "after") if "after" in filters else None,
        statuses=STATUSES,
    )


def _without(filters: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in filters.items() if name not in names}


def _complete(view: View, items: list[dict[str, Any]]) -> None:
    """Add worker, length and, where one waits, the reason."""
    with view.services.database.connection() as connection:
        values = {"ids": [item["id"] for item in items]}
        known = {row["id"]: row for row in rows(connection, "agent.server.page", "workers_of_executions", values)}
        waiting = [item["id"] for item in items if item["status"] == "requested"]
        reasons = waiting_sentences(connection, waiting, most=_EXPLAINED) if waiting else {}
    for item in items:
        more = known.get(item["id"], {})
        item["worker"], item["seconds"] = more.get("worker"), more.get("seconds")
        item["reason"] = reasons.get(item["id"])
        if item["seconds"] is None and item.get("started_at") and item["status"] in ENDED:
            item["seconds"] = max(0.0, (item["updated"] - item["started_at"]).total_seconds())


ROUTES = (PageRoute("GET", "/executions", listed),)
