"""The page's own table of routes, and the way from a browser's request to HTML: session, form, handler, headers."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute
from starlette.routing import Route as StarletteRoute

from agent.server.audit import Audit
from agent.server.binding import read_body
from agent.server.call import Services
from agent.server.caller import Caller
from agent.server.page.rendering import Rendering
from agent.server.page.sessions import BrowserSession
from agent.server.page.view import View, plain_page
from agent.server.peer import client_address
from agent.server.problems import Problem, problem_of
from agent.server.route import Route
from agent.server.strict_json import BadJson, check_text
from agent.server.uploads import receive

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
Found = TypeVar("Found")
_YEAR = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class PageRoute:
    """A page or a form. ``handler`` runs in a thread; ``stream`` instead runs in the loop, after ``handler`` let it."""

    method: str
    path: str
    handler: Callable[[View], Response]
    public: bool = False
    upload: bool = False
    stream: Callable[[View, Response], Awaitable[Response]] | None = None


class Site:
    """All pages of one server."""

    def __init__(
        self,
        services: Services,
        audit: Audit,
        limiter: anyio.CapacityLimiter,
        api: Sequence[Route],
        pages: Sequence[PageRoute],
    ) -> None:
        """``api`` are the routes whose handlers the pages call."""
        self._services = services
        self._audit = audit
        self._limiter = limiter
        self._api = {(route.method, route.path): route for route in api}
        self._pages = pages
        self._rendering = Rendering()
        self.prefix = urlsplit(services.settings.server.public_url or "").path.rstrip("/")

    def routes(self) -> list[BaseRoute]:
        """Return what the application adds to its own routes."""
        bound: list[BaseRoute] = [
            StarletteRoute(page.path, self._endpoint(page), methods=[page.method]) for page in self._pages
        ]
        return [*bound, StarletteRoute("/static/{name}", self._asset)]

    async def missing(self, request: Request) -> Response:
        """Answer a browser that asks for an address that nothing has."""
        return await self._respond(_MISSING, request)

    def _endpoint(self, page: PageRoute) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            return await self._respond(page, request)

        return respond

    async def _asset(self, request: Request) -> Response:
        asset = self._rendering.assets.find(request.path_params["name"])
        if asset is None:
            return Response(status_code=404)
        headers = {"Cache-Control": _YEAR, "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                asset.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type
            )
        return Response(asset.content, headers=headers, media_type=asset.media_type)

    async def _respond(self, page: PageRoute, request: Request) -> Response:
        request.state.request_id = str(uuid.uuid4())
        try:
            session = BrowserSession.of(request, self._services)
            if session.refresh_token:
                await self._in_thread(session.renew)
            response = await self._answer(page, request, session)
            session.write(request, response)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:  # noqa: BLE001 - the edge: whatever happens, a person reads a sentence
            problem = problem_of(error)
            response = HTMLResponse(plain_page("That did not work", problem.message), problem.status)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Request-Id"] = request.state.request_id
        return response

    async def _answer(self, page: PageRoute, request: Request, session: BrowserSession) -> Response:
        caller = Caller(
            self._services.database, session.claims, client_address(request, self._services.settings.server)
        )
        view = View(request, self._services, caller, session, self._rendering, self._api, self._audit, self.prefix)
        if session.claims is None and not page.public:
            if request.method == "GET" and page.stream is None:
                wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return view.go("/sign-in", next="" if wanted == "/" else wanted)
            return await self._in_thread(lambda: _problem(view, Problem(401, "UNAUTHORIZED", "you are signed out")))
        try:
            if request.method == "POST":
                if not page.public:
                    await self._in_thread(lambda: view.caller.identity)  # before a byte of the form is read
                await self._read_form(page, view)
                session.check_form(request, view.value("csrf"))
            response = await self._in_thread(lambda: _run(page, view))
            return await page.stream(view, response) if page.stream else response
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - told within the page's frame
            problem = problem_of(error)
            return await self._in_thread(lambda: _problem(view, problem))
        finally:
            if view.upload is not None:
                view.upload.close()

    async def _read_form(self, page: PageRoute, view: View) -> None:
        if page.upload:
            view.upload = await receive(view.request, self._services.settings.pack_upload.max_upload_size_bytes, "pack")
            view.field_values = view.upload.fields
            return
        raw = await read_body(view.request, self._services.settings.server.max_body_bytes)
        try:
            pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=500)
            view.field_values = {check_text(name): check_text(value) for name, value in pairs}
        except (ValueError, BadJson):
            raise Problem.bad("the form can't be read") from None

    async def _in_thread(self, work: Callable[[], Found]) -> Found:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)


def _run(page: PageRoute, view: View) -> Response:
    if not page.public:
        _ = view.caller.identity  # gone or frozen: nothing is shown any more
    return page.handler(view)


def _missing(view: View) -> Response:
    raise Problem.not_found("this server has no such page")


_MISSING = PageRoute("GET", "", _missing)


def _problem(view: View, problem: Problem) -> Response:
    return view.show("problem.html", problem.status, what=problem, request_id=view.request.state.request_id)
