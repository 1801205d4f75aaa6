"""The ASGI application: the table of routes bound, headers, and what unknown paths are answered with."""

from __future__ import annotations

import json
from collections.abc import Sequence

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.server.audit import Audit
from agent.server.binding import Binding
from agent.server.call import Services
from agent.server.openapi import document
from agent.server.page.endpoints import Site
from agent.server.page.pages import PAGES
from agent.server.route import Route
from agent.server.routes import ROUTES

_LOCAL = [f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (3000, 3001, 5173, 8080)]
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_DOCS = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Attune API</title><link rel="icon" href="data:,">
<h1>Attune API</h1><p>The description of this API: <a href="api-spec/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
"""


def build_application(
    services: Services, audit: Audit, routes: Sequence[Route] = ROUTES, *, page: bool = True
) -> ASGIApp:
    """Make the application, with the page for people or without; nothing is connected by it."""
    limiter = anyio.CapacityLimiter(services.settings.server.threads)
    bound = [
        StarletteRoute(route.path, Binding(route, services, limiter, audit).respond, methods=[route.method])
        for route in _specific_first(routes)
    ]
    spec = json.dumps(document(routes), separators=(",", ":")).encode()

    async def describe(request: Request) -> Response:
        return Response(spec, media_type="application/json")

    async def docs(request: Request) -> Response:
        return HTMLResponse(_DOCS)

    bound += [StarletteRoute("/api-spec/openapi.json", describe), StarletteRoute("/docs", docs)]
    site = Site(services, audit, limiter, routes, PAGES) if page else None
    pages = site.routes() if site else []
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(services.settings.server.cors_origins) or _LOCAL,
        allow_methods=["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"],
        allow_headers=["Authorization", "Content-Type", "Accept", "Idempotency-Key", "Last-Event-ID"],
        # The cookies of the page go to origins that an operator named, never to whatever runs on this machine.
        allow_credentials=bool(services.settings.server.cors_origins),
    )

    async def nothing(request: Request, error: Exception) -> Response:
        read_by_a_person = "text/html" in request.headers.get("accept", "") and request.method == "GET"
        if site and read_by_a_person and not request.url.path.startswith(("/api/", "/auth/", "/static/")):
            return await site.missing(request)
        return await _nothing(request, error)

    handlers = {404: nothing, 405: nothing}
    made = Starlette(routes=[*bound, *pages], middleware=[cors], exception_handlers=handlers)
    return _Headers(made, site.prefix if site else "")


def _specific_first(routes: Sequence[Route]) -> list[Route]:
    """Put paths with words before those with parameters in the same place."""
    return sorted(routes, key=lambda route: [part.startswith("{") for part in route.path.split("/")])


async def _nothing(request: Request, error: Exception) -> Response:
    """Answer an unknown path or method with the status alone, as clients of the reference expect."""
    headers = getattr(error, "headers", None)
    return Response(status_code=getattr(error, "status_code", 404), headers=headers)


class _Headers:
    """Adds the headers that every answer has; pure ASGI, so that streams pass untouched.

    ``prefix`` is what `server.public_url` has before all paths; a proxy takes it away, or leaves it to us.
    """

    def __init__(self, application: ASGIApp, prefix: str = "") -> None:
        """Wrap the application."""
        self._application = application
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and add to its answer."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        if self._prefix and (scope["path"] + "/").startswith(self._prefix + "/"):
            scope = {**scope, "path": scope["path"][len(self._prefix) :] or "/"}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self._application(scope, receive, answer)
