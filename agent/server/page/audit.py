"""What was asked for, by whom, and what became of it."""

from __future__ import annotations

from starlette.responses import Response

from agent.server.page.endpoints import PageRoute
from agent.server.page.paging import SIZE, pages
from agent.server.page.view import View

_FILTERS = ("category", "outcome", "actor_identity", "page")


def listed(view: View) -> Response:
    """Show audit events, newest first."""
    query = {name: view.query[name] for name in _FILTERS if name in view.query}
    found = view.ask("GET", "/api/v1/audit-events", query={**query, "page_size": SIZE})
    return view.show(
        "audit.html", section="audit", items=found["items"], filters=query, pages=pages(found["pagination"], query)
    )


ROUTES = (PageRoute("GET", "/audit", listed),)
