"""The committed description and the table of who may what say what the routes say."""

from __future__ import annotations

from pathlib import Path

from agent.packs.permissions import ACTIONS, RESOURCES
from agent.server.openapi import document, text
from agent.server.permissions_table import inserted
from agent.server.routes import ROUTES

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"


def test_the_committed_description_is_that_of_the_routes() -> None:
    assert (REFERENCE / "openapi.json").read_text(encoding="utf-8") == text(ROUTES), "run: make docs"


def test_the_committed_table_is_that_of_the_routes() -> None:
    page = (REFERENCE / "http-api.md").read_text(encoding="utf-8")
    assert page == inserted(page, ROUTES), "run: make docs"


def test_no_two_routes_are_the_same_and_every_operation_has_a_name_of_its_own() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    names = [one["operationId"] for path in document(ROUTES)["paths"].values() for one in path.values()]
    assert len(set(names)) == len(names)


def test_every_permission_that_a_route_needs_can_be_granted() -> None:
    for route in ROUTES:
        if route.needs:
            assert route.needs[0] in RESOURCES, route.path
            assert route.needs[1] in ACTIONS, route.path


def test_a_change_that_needs_no_permission_is_one_of_those_that_need_none() -> None:
    free = {route.path for route in ROUTES if route.method != "GET" and route.needs is None}
    own = {"/auth/me", "/auth/change-password"}
    tokens = {path for path in free if "/integration-tokens" in path}  # one's own; those of others are asked for inside
    public = {route.path for route in ROUTES if not route.who}
    sensors = {
        "/api/v1/events",
        "/auth/sensor-token",
        "/api/v1/auth/sensor-token",
    }  # a sensor's token has no permissions; of everybody else one is asked for inside
    workers = {route.path for route in ROUTES if route.who == {"worker"}}  # their tokens carry no permissions
    assert free - own - tokens - public - sensors - workers == set()
