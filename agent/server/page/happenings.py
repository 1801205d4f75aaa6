"""Rules, triggers, sensors and events: what starts what, and why an event started nothing."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from agent.server.page.endpoints import PageRoute
from agent.server.page.paging import SIZE, pages
from agent.server.page.view import View
from agent.server.problems import Problem

_KINDS = ("rules", "triggers", "sensors")


def listed(kind: str, view: View) -> Response:
    """Show all of one kind by ref."""
    query = {name: view.query[name] for name in ("enabled", "page") if name in view.query}
    found = view.ask("GET", f"/api/v1/{kind}", query={**query, "page_size": SIZE})
    return view.show(
        f"{kind}.html",
        section="rules",
        kind=kind,
        items=found["items"],
        filters=query,
        pages=pages(found["pagination"], query),
        may_change=_may_change(view, kind),
    )


def rules(view: View) -> Response:
    """Show rules."""
    return listed("rules", view)


def triggers(view: View) -> Response:
    """Show triggers."""
    return listed("triggers", view)


def sensors(view: View) -> Response:
    """Show sensors."""
    return listed("sensors", view)


def rule(view: View) -> Response:
    """Show one rule, and what it made of the newest events."""
    found = view.ask("GET", "/api/v1/rules/{ref}", at={"ref": view.path["ref"]})["data"]
    made: list[dict[str, Any]] = []
    if view.may("enforcements", "read"):
        made = view.ask("GET", "/api/v1/enforcements", query={"rule_ref": found["ref"], "per_page": 20})["items"]
    return view.show("rule.html", section="rules", rule=found, made=made, may_change=_may_change(view, "rules"))


def sensor(view: View) -> Response:
    """Show one sensor, and where it runs."""
    found = view.ask("GET", "/api/v1/sensors/{ref}", at={"ref": view.path["ref"]})["data"]
    return view.show("sensor.html", section="rules", sensor=found, may_change=_may_change(view, "sensors"))


def switch(view: View) -> Response:
    """Switch a rule, trigger or sensor on or off."""
    kind, what = str(view.path["kind"]), str(view.path["what"])
    if kind not in _KINDS or what not in ("enable", "disable"):
        raise Problem.not_found("rules, triggers and sensors can be enabled and disabled")
    view.ask("POST", f"/api/v1/{kind}/{{ref}}/{what}", at={"ref": view.path["ref"]})
    return view.go(f"/{kind}" if kind == "triggers" else f"/{kind}/{view.path['ref']}")


def events(view: View) -> Response:
    """Show events, newest first."""
    query = {name: view.query[name] for name in ("trigger_ref", "page") if name in view.query}
    found = view.ask("GET", "/api/v1/events", query={**query, "per_page": SIZE})
    return view.show(
        "events.html", section="events", items=found["items"], filters=query, pages=pages(found["pagination"], query)
    )


def event(view: View) -> Response:
    """Show one event, what each rule made of it, and why."""
    text = str(view.path["id"])
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Problem.not_found("there is no such event: an id is a whole number")
    at = {"id": int(text)}
    found = view.ask("GET", "/api/v1/events/{id}", at=at)["data"]
    why = view.ask("GET", "/api/v1/events/{id}/explain", at=at)["data"]
    return view.show("event.html", section="events", event=found, why=why)


def _may_change(view: View, kind: str) -> bool:
    return view.may("rules" if kind == "rules" else "triggers", "update")


ROUTES = (
    PageRoute("GET", "/rules", rules),
    PageRoute("GET", "/rules/{ref}", rule),
    PageRoute("GET", "/triggers", triggers),
    PageRoute("GET", "/sensors", sensors),
    PageRoute("GET", "/sensors/{ref}", sensor),
    PageRoute("GET", "/events", events),
    PageRoute("GET", "/events/{id}", event),
    PageRoute("POST", "/{kind}/{ref}/switch/{what}", switch),
)
