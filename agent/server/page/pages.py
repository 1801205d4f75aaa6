"""The table of pages. A further one is a module with ``ROUTES``, its templates, and a line in ``SECTIONS``."""

from __future__ import annotations

from agent.server.page import (
    actions,
    audit,
    execution,
    executions,
    fleet,
    happenings,
    keys,
    live_log,
    packs,
    runtimes,
    signing_in,
)
from agent.server.page.endpoints import PageRoute

PAGES: tuple[PageRoute, ...] = (
    *signing_in.ROUTES,
    *executions.ROUTES,
    *live_log.ROUTES,
    *execution.ROUTES,
    *actions.ROUTES,
    *fleet.ROUTES,
    *runtimes.ROUTES,
    *packs.ROUTES,
    *happenings.ROUTES,
    *keys.ROUTES,
    *audit.ROUTES,
)
