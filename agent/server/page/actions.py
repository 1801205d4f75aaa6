"""Actions by pack, and the form that starts one."""

from __future__ import annotations

import itertools
import secrets
from typing import Any

from starlette.responses import Response

from agent.control.parameter_values import ParameterSchema
from agent.server.page.endpoints import PageRoute
from agent.server.page.execution import command_lines
from agent.server.page.forms import fields_of, read_form
from agent.server.page.paging import pages
from agent.server.page.view import View
from agent.server.problems import Problem

_ONE = "/api/v1/actions/{ref}"


def listed(view: View) -> Response:
    """Show actions by pack; ``q`` searches."""
    query = {name: view.query[name] for name in ("q", "packs", "page") if name in view.query}
    found = view.ask("GET", "/api/v1/actions/search", query={**query, "page_size": 100})
    groups = [
        (pack, list(items)) for pack, items in itertools.groupby(found["items"], key=lambda item: item["pack_ref"])
    ]
    return view.show(
        "actions.html",
        section="actions",
        groups=groups,
        words=query.get("q", ""),
        pages=pages(found["pagination"], query),
    )


def show(view: View) -> Response:
    """Show one action with its form."""
    return _form(view, None, {})


def start(view: View) -> Response:
    """Start it with what the form holds; the same form sent twice starts it once."""
    action = _action(view)
    schema = ParameterSchema.of(action["param_schema"])
    filled = read_form(schema, view.field_values)
    if filled.problems:
        return _form(view, dict(view.field_values), filled.problems, status=422)
    body = {"action_ref": action["ref"], "parameters": filled.parameters}
    key = view.value("once")
    headers = {"idempotency-key": f"page:{key}"} if 20 <= len(key) <= 64 else {}
    try:
        made = view.ask("POST", "/api/v1/executions", body=body, headers=headers)["data"]
    except Problem as problem:
        if problem.status == 422 and "Idempotency-Key" in problem.message:
            view.field_values = {**view.field_values, "once": ""}
            return start(view)
        raise
    return view.go(f"/executions/{made['id']}")


def _form(view: View, sent: dict[str, str] | None, problems: dict[str, str], status: int = 200) -> Response:
    action = _action(view)
    schema = ParameterSchema.of(action["param_schema"])
    filled = read_form(schema, sent or {}) if sent is not None else None
    example = filled.parameters if filled else _example(schema)
    base = view.services.settings.server.public_url or str(view.request.base_url).rstrip("/")
    run, curl = command_lines(action["ref"], example, schema.secrets, base.rstrip("/"))
    return view.show(
        "action.html",
        status,
        section="actions",
        action=action,
        form=fields_of(schema, sent, problems),
        extra=(sent or {}).get("json", ""),
        extra_problem=problems.get("json", ""),
        problems=problems,
        open=schema.open,
        once=secrets.token_urlsafe(24),
        may_run=view.may("actions", "execute"),
        run=run,
        curl=curl,
    )


def _example(schema: ParameterSchema) -> dict[str, Any]:
    """What the form would send as it is shown: defaults, and a word where something must be said."""
    found = schema.with_defaults({})
    return {**{name: "…" for name in sorted(schema.required) if name not in found}, **found}


def _action(view: View) -> dict[str, Any]:
    found: dict[str, Any] = view.ask("GET", _ONE, at={"ref": view.path["ref"]})["data"]
    return found


ROUTES = (
    PageRoute("GET", "/actions", listed),
    PageRoute("GET", "/actions/{ref}", show),
    PageRoute("POST", "/actions/{ref}", start),
)
