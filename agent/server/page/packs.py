"""Packs: what is installed, their environments, and a new one from an archive."""

from __future__ import annotations

from starlette.responses import Response

from agent.server.page.endpoints import PageRoute
from agent.server.page.paging import pages
from agent.server.page.view import View

_ALL, _ONE = "/api/v1/packs", "/api/v1/packs/{ref}"


def listed(view: View) -> Response:
    """Show packs by ref."""
    query = {name: view.query[name] for name in ("page",) if name in view.query}
    found = view.ask("GET", _ALL, query={**query, "page_size": 100})
    return view.show(
        "packs.html",
        section="packs",
        items=found["items"],
        pages=pages(found["pagination"], query),
        may_install=view.may("packs", "install"),
    )


def show(view: View) -> Response:
    """Show one pack: its actions and its environments."""
    at = {"ref": view.path["ref"]}
    pack = view.ask("GET", _ONE, at=at)["data"]
    actions = (
        view.ask("GET", "/api/v1/packs/{pack_ref}/actions", at={"pack_ref": pack["ref"]}, query={"page_size": 100})[
            "items"
        ]
        if view.may("actions", "read")
        else []
    )
    asked = view.query.get("asked", "")
    return view.show(
        "pack.html",
        section="packs",
        pack=pack,
        actions=actions,
        environments=view.ask("GET", _ONE + "/environments", at=at)["data"],
        may_rebuild=view.may("packs", "install"),
        notice=f"{asked[:9]} workers are asked to build them anew" if asked.isdigit() else "",
    )


def rebuild(view: View) -> Response:
    """Ask all workers to build the environments of a pack anew."""
    found = view.ask("POST", _ONE + "/environments/rebuild", at={"ref": view.path["ref"]})["data"]
    return view.go(f"/packs/{view.path['ref']}", asked=len(found["asked"]))


def upload(view: View) -> Response:
    """Install an archive."""
    view.field_values = {}
    found = view.ask("POST", "/api/v1/packs/upload")["data"]["pack"]
    return view.go(f"/packs/{found['ref']}")


ROUTES = (
    PageRoute("GET", "/packs", listed),
    PageRoute("POST", "/packs", upload, upload=True),
    PageRoute("GET", "/packs/{ref}", show),
    PageRoute("POST", "/packs/{ref}/rebuild", rebuild),
)
