"""The table of routes: each with who may use it. Documents, tests and the description of the API are made of it."""

from __future__ import annotations

from agent.server.resources import (
    actions,
    agent_program,
    audit_events,
    auth,
    execution_lists,
    execution_requests,
    executions,
    health,
    identities,
    integration_tokens,
    keys,
    operator_executions,
    operator_views,
    pack_archives,
    packs,
    permission_sets,
    runtimes,
    workers,
)
from agent.server.route import Route

ROUTES: tuple[Route, ...] = (
    *health.ROUTES,
    *auth.ROUTES,
    *execution_requests.ROUTES,
    *execution_lists.ROUTES,
    *executions.ROUTES,
    *workers.ROUTES,
    *runtimes.ROUTES,
    *actions.ROUTES,
    *packs.ROUTES,
    *pack_archives.ROUTES,
    *keys.ROUTES,
    *identities.ROUTES,
    *permission_sets.ROUTES,
    *integration_tokens.ROUTES,
    *audit_events.ROUTES,
    *agent_program.ROUTES,
    *operator_executions.ROUTES,
    *operator_views.ROUTES,
)
