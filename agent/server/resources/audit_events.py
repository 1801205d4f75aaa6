"""What was asked for and by whom."""

from __future__ import annotations

from typing import Literal

from agent.server.call import Answer, Call, page, rows
from agent.server.route import ACCESS, Route
from agent.server.shapes import Id, Paging


class AuditQuery(Paging, kw_only=True):
    """Which events."""

    category: Literal["api", "auth", "rbac", "secret", "admin", "execution", "pack"] | None = None
    outcome: Literal["success", "failure", "denied"] | None = None
    actor_identity: Id | None = None


def list_all(call: Call) -> Answer:
    """List audit events, newest first."""
    query: AuditQuery = call.query
    values = {"category": query.category, "outcome": query.outcome, "actor": query.actor_identity}
    with call.connection() as connection:
        found = rows(connection, "agent.server", "audit_events", values | query.window())
    return page(found[: query.size], number=query.page, size=query.page_size, more=len(found) > query.size)


ROUTES = (
    Route(
        "GET",
        "/api/v1/audit-events",
        list_all,
        "List audit events",
        ACCESS,
        ("audit_log", "read"),
        query=AuditQuery,
        listed=True,
        answer=dict,
        tag="audit",
    ),
)
