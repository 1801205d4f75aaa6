"""The server with its rule processor, on the database alone, and rules and triggers under names of their own."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.server.conftest import Site, close_site, open_site
from tests.services.deployment import running_deployment

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server for all tests of a module."""
    with running_deployment(request, "database") as deployment:
        opened = open_site(deployment)
        try:
            yield opened
        finally:
            close_site(opened)


def make_trigger(site: Site, **fields: Any) -> str:
    """Make a trigger; return its ref."""
    ref = f"core.trigger{next(_numbers)}"
    site.admin.ok("POST", "/api/v1/triggers", {"ref": ref, "pack_ref": "core", "label": ref, **fields})
    return ref


def make_rule(site: Site, trigger: str, **fields: Any) -> dict[str, Any]:
    """Make a rule that runs core.echo; return it."""
    body = {
        "ref": f"core.rule{next(_numbers)}",
        "pack_ref": "core",
        "label": "a rule",
        "action_ref": "core.echo",
        "trigger_ref": trigger,
        "action_params": {"message": "{{ event.payload.text }}"},
    }
    found: dict[str, Any] = site.admin.ok("POST", "/api/v1/rules", {**body, **fields})
    return found


def send(site: Site, trigger: str, payload: Any = None, **fields: Any) -> int:
    """Send an event; return its id."""
    made = site.admin.ok("POST", "/api/v1/events", {"trigger_ref": trigger, "payload": payload, **fields})
    return int(made["id"])


def outcome(site: Site, event: int) -> dict[str, Any]:
    """Wait until an event was processed; return what is recorded of it."""
    found = eventually(lambda: site.admin.ok("GET", f"/api/v1/events/{event}")["outcome"], lambda one: one["processed"])
    return dict(found)


def eventually(look: Callable[[], Any], good: Callable[[Any], Any], seconds: float = 30.0) -> Any:
    """Look until what is found is good."""
    deadline = time.monotonic() + seconds
    while not good(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def executions(site: Site, event: int) -> list[dict[str, Any]]:
    """The executions that an event started, with their rules."""
    sql = (
        "SELECT x.id, x.config, x.status::text AS status, x.executor, f.rule_ref FROM execution x"
        " JOIN enforcement f ON f.id = x.enforcement WHERE f.event = %s ORDER BY x.id"
    )
    return site.deployment.all(sql, [event])
