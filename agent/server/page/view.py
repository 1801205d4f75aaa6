"""One request of a browser: who asks, what the API's handlers say to it, and the HTML that is made of that."""

from __future__ import annotations

import html
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from agent import __version__
from agent.server.audit import Audit
from agent.server.binding import permit
from agent.server.call import Answer, Call, Services
from agent.server.caller import Caller
from agent.server.page.rendering import SECTIONS, Rendering
from agent.server.page.sessions import BrowserSession
from agent.server.problems import Problem, problem_of
from agent.server.route import Route


@dataclass
class View:
    """A request, decoded. ``field_values`` holds what a form sent."""

    request: Request
    services: Services
    caller: Caller
    session: BrowserSession
    rendering: Rendering
    routes: Mapping[tuple[str, str], Route]
    audit: Audit
    prefix: str
    field_values: Mapping[str, str] = field(default_factory=dict)
    upload: Any = None

    @property
    def path(self) -> dict[str, Any]:
        """The parameters in the path."""
        return dict(self.request.path_params)

    @property
    def query(self) -> Mapping[str, str]:
        """The filters in the address, without those that are empty."""
        return {name: value for name, value in self.request.query_params.items() if value}

    def value(self, name: str) -> str:
        """Return a field of the form as text, empty where it is missing."""
        return self.field_values.get(name, "")

    def may(self, resource: str, action: str) -> bool:
        """Whether the one who asks may do this to some object at least."""
        return self.caller.claims is not None and self.caller.may(resource, action)

    def ask(
        self,
        method: str,
        path: str,
        *,
        at: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Do what a route of the API does, with its checks; return what it would encode.

        Raises:
            Problem: as the API would answer.
        """
        route = self.routes[method, path]
        call = Call(self.services, self.caller, path=dict(at or {}), headers=headers or {}, upload=self.upload)
        try:
            if route.query is not None:
                call.query = msgspec.convert(dict(query or {}), route.query, strict=False)
            if body is not None and route.body is not None:
                call.raw = msgspec.json.encode(body)
                call.body = msgspec.convert(body, route.body)
        except msgspec.ValidationError as error:
            raise Problem.invalid(str(error)) from None
        try:
            permit(route, call)
            found = route.handler(call)
            answer = found if isinstance(found, Answer) else found.answer
        except Exception as error:
            if method != "GET":
                self._note(route, problem_of(error).status, at)
            raise
        if method != "GET":
            self._note(route, answer.status or route.status, at)
        return answer.content

    def note(self, method: str, path: str, status: int) -> None:
        """Write what a route of the API would have written of this."""
        self._note(self.routes[method, path], status, None)

    def _note(self, route: Route, status: int, at: Mapping[str, Any] | None) -> None:
        response = Response(status_code=status, headers={"X-Request-Id": self.request.state.request_id})
        self.audit.note(route, self.request, self.caller, response, 0.0, at=at or {})

    def url(self, path: str, **query: Any) -> str:
        """Return an address of this page, with the prefix that a proxy puts before it."""
        words = urlencode({name: value for name, value in query.items() if value not in (None, "")})
        return self.prefix + quote(path, safe="/:@") + (f"?{words}" if words else "")

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        """Return the HTML of a template."""
        return HTMLResponse(self.rendering.render(template, {**self._everywhere(), **values}), status)

    def _everywhere(self) -> dict[str, Any]:
        """Return what each template may name."""
        sections = [
            {"path": path, "title": title, "key": key}
            for path, title, resource, action, key in SECTIONS
            if self.may(resource, action)
        ]
        claims = self.caller.claims
        return {
            "view": self,
            "url": self.url,
            "asset": lambda source: f"{self.prefix}/static/{self.rendering.assets.name_of(source)}",
            "sections": sections,
            "login": claims.login if claims else "",
            "signed_in": claims is not None,
            "csrf": Markup('<input type="hidden" name="csrf" value="{}">').format(self.session.csrf),
            "version": __version__,
            "section": "",
            "notice": "",
            "problem": "",
            "fields": {},
        }

    def go(self, path: str, **query: Any) -> Response:
        """Send the browser to another page, after a change: a reload repeats nothing."""
        return self.go_back(self.url(path, **query).removeprefix(self.prefix))

    def go_back(self, address: str) -> Response:
        """Send the browser to an address of this page that was checked, with its query as it is.

        It is said from where the browser is: a proxy may put a prefix before what begins with a slash, or not.
        """
        path, mark, query = address.partition("?")
        parent, _, name = path.rpartition("/")
        here = self.request.url.path.rpartition("/")[0]
        return RedirectResponse(f"{posixpath.relpath(parent or '/', here or '/')}/{name}{mark}{query}", 303)


def plain_page(title: str, sentence: str) -> str:
    """Return a page that needs nothing of anything: for what goes wrong before all else."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<h1>{html.escape(title)}</h1><p>{html.escape(sentence)}</p>"
    )
