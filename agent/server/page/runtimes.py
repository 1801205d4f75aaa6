"""Runtimes, their versions, and what each worker says about them."""

from __future__ import annotations

from starlette.responses import Response

from agent.server.page.endpoints import PageRoute
from agent.server.page.paging import pages
from agent.server.page.view import View

_ONE = "/api/v1/runtimes/{ref}"


def listed(view: View) -> Response:
    """Show runtimes by ref."""
    query = {name: view.query[name] for name in ("page",) if name in view.query}
    found = view.ask("GET", "/api/v1/runtimes", query={**query, "page_size": 100})
    return view.show("runtimes.html", section="runtimes", items=found["items"], pages=pages(found["pagination"], query))


def show(view: View) -> Response:
    """Show one runtime with its versions."""
    at = {"ref": view.path["ref"]}
    runtime = view.ask("GET", _ONE, at=at)["data"]
    versions = view.ask("GET", _ONE + "/versions", at=at)["data"]
    return view.show(
        "runtime.html",
        section="runtimes",
        runtime=runtime,
        versions=versions,
        asked=view.query.get("asked", ""),
        may_change=view.may("runtimes", "update"),
    )


def verify(view: View) -> Response:
    """Ask all workers to look again."""
    found = view.ask("POST", _ONE + "/verify", at={"ref": view.path["ref"]}, body={})["data"]
    return view.go(f"/runtimes/{view.path['ref']}", asked=len(found.get("asked") or found.get("workers") or ()))


def switch(view: View) -> Response:
    """Switch a version off or on for all machines, or make it the default."""
    at = {"ref": view.path["ref"], "version": view.value("version")}
    wanted = {"off": {"available": False}, "on": {"available": True}, "default": {"is_default": True}}
    view.ask("PATCH", _ONE + "/versions/{version}", at=at, body=wanted.get(view.value("to"), {}))
    return view.go(f"/runtimes/{view.path['ref']}")


ROUTES = (
    PageRoute("GET", "/runtimes", listed),
    PageRoute("GET", "/runtimes/{ref}", show),
    PageRoute("POST", "/runtimes/{ref}/verify", verify),
    PageRoute("POST", "/runtimes/{ref}/versions", switch),
)
