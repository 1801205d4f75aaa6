"""Keys: names and owners, set and deleted here; a value is never shown."""

from __future__ import annotations

from starlette.responses import Response

from agent.server.page.endpoints import PageRoute
from agent.server.page.paging import SIZE, pages
from agent.server.page.view import View
from agent.server.problems import Problem, problem_of

_ALL, _ONE = "/api/v1/keys", "/api/v1/keys/{ref}"


def listed(view: View) -> Response:
    """Show keys without values."""
    return _page(view, {}, "")


def create(view: View) -> Response:
    """Store a new key, or another value of one that is there."""
    sent = view.field_values
    ref, owner = view.value("ref").strip(), view.value("owner").strip()
    kind = view.value("owner_type") or "system"
    body = {
        "ref": ref,
        "name": view.value("name").strip() or ref.rpartition(".")[2],
        "owner_type": kind,
        "value": view.value("value"),
        "encrypted": True,
    }
    names = {"identity": "owner_identity_login", "pack": "owner_pack_ref", "action": "owner_action_ref"}
    if kind in names:
        body[names[kind]] = owner
    try:
        view.ask("POST", _ALL, body=body)
    except Exception as error:  # noqa: BLE001 - told beside the form
        problem = problem_of(error)
        kept = {name: value for name, value in sent.items() if name not in ("value", "csrf")}
        return _page(view, kept, problem.message, problem.status)
    return view.go("/keys", stored=ref)


def replace(view: View) -> Response:
    """Give a key another value."""
    if not view.value("value"):
        raise Problem.invalid("a key needs a value")
    view.ask("PUT", _ONE, at={"ref": view.path["ref"]}, body={"value": view.value("value"), "encrypted": True})
    return view.go("/keys", stored=view.path["ref"])


def delete(view: View) -> Response:
    """Delete a key."""
    view.ask("DELETE", _ONE, at={"ref": view.path["ref"]})
    return view.go("/keys", deleted=view.path["ref"])


def _page(view: View, kept: dict[str, str], problem: str, status: int = 200) -> Response:
    query = {name: view.query[name] for name in ("owner_type", "page") if name in view.query}
    found = view.ask("GET", _ALL, query={**query, "per_page": SIZE})
    stored, gone = view.query.get("stored"), view.query.get("deleted")
    return view.show(
        "keys.html",
        status,
        section="keys",
        items=found["items"],
        pages=pages(found["pagination"], query),
        may_create=view.may("keys", "create"),
        may_update=view.may("keys", "update"),
        may_delete=view.may("keys", "delete"),
        fields=kept,
        problem=problem,
        notice=f"{stored} is stored" if stored else f"{gone} is deleted" if gone else "",
    )


ROUTES = (
    PageRoute("GET", "/keys", listed),
    PageRoute("POST", "/keys", create),
    PageRoute("POST", "/keys/{ref}/value", replace),
    PageRoute("POST", "/keys/{ref}/delete", delete),
)
