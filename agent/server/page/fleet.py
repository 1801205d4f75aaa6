"""Workers: one matrix of who can run what, each worker's own page, and taking them out of use."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from agent.server.page.endpoints import PageRoute
from agent.server.page.paging import pages
from agent.server.page.view import View
from agent.server.problems import Problem

_ONE = "/api/v1/workers/{id}"
_FILTERS = ("health_state", "page")


def listed(view: View) -> Response:
    """Show the matrix: a row a worker, a column a version."""
    query = {name: view.query[name] for name in _FILTERS if name in view.query}
    found = view.ask("GET", "/api/v1/workers", query={**query, "page_size": 100})
    workers = found["items"]
    table = {worker["id"]: cells(worker) for worker in workers}
    columns = _columns(table.values())
    states = Counter(worker["health_state"] for worker in workers)
    return view.show(
        "fleet.html",
        section="fleet",
        workers=workers,
        columns=columns,
        groups=[(name, len(list(same))) for name, same in itertools.groupby(name for name, _ in columns)],
        totals={column: _total([known[column] for known in table.values() if column in known]) for column in columns},
        cells=table,
        states=states,
        state=query.get("health_state", ""),
        pages=pages(found["pagination"], query),
        address=view.services.settings.server.public_url or str(view.request.base_url).rstrip("/"),
    )


def show(view: View) -> Response:
    """Show one worker."""
    at = {"id": _id(view)}
    worker = view.ask("GET", _ONE, at=at)
    offers = view.ask("GET", _ONE + "/capabilities", at=at)["data"]
    for runtime in offers["runtimes"]:
        runtime["versions"].sort(key=_by_number)
    running = view.ask("GET", "/api/v1/executions", query={"worker": at["id"], "per_page": 20})["items"]
    return view.show(
        "worker.html",
        section="fleet",
        worker=worker,
        offers=offers,
        recent=running,
        may_manage=view.may("workers", "manage"),
    )


def change(view: View) -> Response:
    """Cordon, uncordon, drain or remove."""
    worker, what = _id(view), view.path["what"]
    body = {"reason": view.value("reason") or None}
    if what == "remove":
        view.ask("DELETE", _ONE, at={"id": worker})
        return view.go("/fleet")
    if what not in ("cordon", "uncordon", "drain"):
        raise Problem.not_found("a worker can be cordoned, uncordoned, drained and removed")
    view.ask("POST", f"{_ONE}/{what}", at={"id": worker}, body=body)
    return view.go(f"/fleet/{worker}")


@dataclass(frozen=True)
class Cell:
    """Whether a worker runs a version; why not, and when it was looked at, where that is known."""

    ok: bool
    reason: str = ""
    at: str | None = None


def cells(worker: Mapping[str, Any]) -> dict[tuple[str, str], Cell]:
    """Return what a worker offers or refuses, by runtime and version; one without a known version has an empty one."""
    found: dict[tuple[str, str], Cell] = {}
    for runtime in worker["supported_runtimes"]:
        for version in runtime["versions"] or [""]:
            found[runtime["name"], version] = Cell(True)
    for one in worker["verified_versions"]:
        if not one["ok"] or (one["name"], one["version"]) in found:
            found[one["name"], one["version"]] = Cell(one["ok"], one["reason"] or "", one["at"])
    return found


def _total(known: Sequence[Cell]) -> str:
    refused = sum(not one.ok for one in known)
    return f"{len(known) - refused}" + (f", {refused} ✗" if refused else "")


def _columns(table: Iterable[Mapping[tuple[str, str], Cell]]) -> list[tuple[str, str]]:
    found = {cell for known in table for cell in known}
    return sorted(found, key=lambda cell: (cell[0], _by_number(cell[1])))


def _by_number(version: str) -> tuple[list[int], str]:
    return [int(part) if part.isdecimal() and len(part) < 10 else 0 for part in version.split(".")], version


def _id(view: View) -> int:
    text = str(view.path["id"])
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Problem.not_found("there is no worker of this name: an id is a whole number")
    return int(text)


ROUTES = (
    PageRoute("GET", "/fleet", listed),
    PageRoute("GET", "/fleet/{id}", show),
    PageRoute("POST", "/fleet/{id}/{what}", change),
)
