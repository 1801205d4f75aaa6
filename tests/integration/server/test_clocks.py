"""Servers and workers whose clocks are hours apart: tokens, retries and silence go by the database's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.integration.server.conftest import PASSWORD, Site, close_site, open_site
from tests.services.availability import unavailable
from tests.services.deployment import running_deployment
from tests.services.server import ApiClient
from tests.services.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.filterwarnings("ignore::ResourceWarning")]

HOUR = 3600
ACCESS, REFRESH = HOUR, 7 * 24 * HOUR


def off_by(seconds: int) -> dict[str, str]:
    """Variables that set the clock of a process; the one that nobody sets goes on."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        unavailable("another clock", "install the Debian package libfaketime")
    return {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME": f"{seconds:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest) -> Iterator[tuple[Site, ApiClient, ApiClient]]:
    """A deployment with a server two hours ahead, which dispatches, and one two hours behind; a client of each."""
    with running_deployment(request, "database") as deployment:
        site = open_site(deployment, ATTUNE__DISPATCHER__MONITOR_INTERVAL="0.2", **off_by(2 * HOUR))
        try:
            behind = site.another_server("--only", "api", **off_by(-2 * HOUR))
            yield site, site.admin, ApiClient(behind.url, None, site.admin.http)
        finally:
            close_site(site)


def ends_in(token: str) -> float:
    """How many seconds of its life a token has left, by this machine's clock, which is the database's."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return float(claims["exp"] - time.time())


def test_a_token_of_one_server_is_good_at_another_and_lives_as_long_as_it_should(
    servers: tuple[Site, ApiClient, ApiClient],
) -> None:
    _, ahead, behind = servers
    for one, other in ((ahead, behind), (behind, ahead)):
        session = one.as_(None).ok("POST", "/auth/login", {"login": "admin", "password": PASSWORD})
        assert ACCESS - 60 < ends_in(session["access_token"]) < ACCESS + 60
        assert REFRESH - 60 < ends_in(session["refresh_token"]) < REFRESH + 60
        assert other.as_(session["access_token"]).get("/auth/me").status_code == 200
        renewed = other.as_(None).ok("POST", "/auth/refresh", {"refresh_token": session["refresh_token"]})
        assert one.as_(renewed["access_token"]).get("/api/v1/workers").status_code == 200


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_workers_clock_decides_neither_its_silence_nor_the_life_of_what_it_signs(
    servers: tuple[Site, ApiClient, ApiClient], hours: int
) -> None:
    site, ahead, behind = servers
    deployment = site.deployment
    place = deployment.directory / f"token-{hours}"
    deployment.add_action(f"clock.token{hours + 2}", f'#!/bin/sh\nprintf %s "$ATTUNE_API_TOKEN" > {place}\nsleep 60\n')
    with deployment.another_agent(f"off-{hours}", **off_by(hours * HOUR)) as agent:
        body = {"action_ref": f"clock.token{hours + 2}", "permission_set_refs": ["core.viewer"]}
        made = ahead.ok("POST", "/api/v1/executions", body)["id"]
        until(lambda: place.is_file() and place.stat().st_size > 0, "the action's token")
        token = place.read_text()
        assert 300 <= ends_in(token) <= 300 + 120
        for client in (ahead, behind):
            assert client.as_(token).ok("GET", f"/api/v1/executions/{made}")["status"] == "running"
        shown = ahead.ok("GET", f"/api/v1/workers/{agent.worker_id}")
        assert (shown["heartbeat_stale"], shown["health_state"]) == (False, "busy")
        behind.as_(ahead.token).ok("POST", f"/api/v1/executions/{made}/cancel")
        assert deployment.wait(made).status == "cancelled"


def test_an_attempt_is_repeated_when_it_is_due_and_what_fits_nobody_has_its_time(
    servers: tuple[Site, ApiClient, ApiClient],
) -> None:
    site, ahead, _ = servers
    deployment = site.deployment
    waits = ahead.ok("POST", "/api/v1/executions", {"action_ref": "core.echo", "worker_selector": {"no": "where"}})
    deployment.add_action("clock.fails", "#!/bin/sh\nexit 3\n", max_retries=1)
    with deployment.another_agent("off", **off_by(2 * HOUR)):
        first = ahead.ok("POST", "/api/v1/executions", {"action_ref": "clock.fails"})["id"]
        assert deployment.wait(first).status == "failed"
        again = "SELECT id FROM execution WHERE original_execution = %s"
        until(lambda: deployment.all(again, [first]), "the next attempt")
        due = "SELECT extract(epoch FROM not_before - clock_timestamp())::float8 AS s FROM server_delay"
        assert 0 < deployment.one(due)["s"] <= 11
    assert deployment.execution(waits["id"]).status == "requested"
