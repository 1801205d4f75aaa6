"""THE table: every route of the API with who may use it. Documents, tests and the description are made of it."""

from __future__ import annotations

from agent.server.resources import (
    actions,
    audit_events,
    auth,
    executions,
    health,
    identities,
    keys,
    packs,
    runtimes,
    workers,
)
from agent.server.route import Route

ROUTES: tuple[Route, ...] = (
    *health.ROUTES,
    *auth.ROUTES,
    *executions.ROUTES,
    *workers.ROUTES,
    *runtimes.ROUTES,
    *actions.ROUTES,
    *packs.ROUTES,
    *keys.ROUTES,
    *identities.ROUTES,
    *audit_events.ROUTES,
)
