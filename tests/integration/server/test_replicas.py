"""Servers come and go: nothing that was accepted is lost, nothing runs twice, whoever dies."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.integration.server.conftest import PASSWORD, Site, close_site, open_site
from tests.services.agent_process import own_environment
from tests.services.deployment import running_deployment
from tests.services.gate import held
from tests.services.postgres import with_database
from tests.services.server import ApiClient, attune, start_server
from tests.services.waiting import until

pytestmark = pytest.mark.postgres

JOBS = 200


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A deployment with one server, for one test."""
    with running_deployment(request, getattr(request, "param", "database")) as deployment:
        site = open_site(deployment)
        try:
            yield site
        finally:
            close_site(site)


@pytest.mark.parametrize("shared", ["database", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)], indirect=True)
def test_one_of_two_servers_is_killed_and_each_execution_runs_once(shared: Site) -> None:
    deployment = shared.deployment
    ran = deployment.packs / "ran"
    deployment.add_action("once.count", f'#!/bin/sh\necho "$ATTUNE_EXEC_ID" >> {ran}\n')
    deployment.start_agent()
    second = shared.another_server()
    other = ApiClient(second.url, shared.admin.token, shared.admin.http)
    ids = []
    for number in range(JOBS):
        if number == JOBS // 2:
            shared.server.kill()
        client = shared.admin if number < JOBS // 2 else other
        ids.append(client.ok("POST", "/api/v1/executions/execute", {"action_ref": "once.count"})["id"])
    ended = [deployment.wait(one, timeout=60.0) for one in ids]
    assert {row.status for row in ended} == {"completed"}
    assert sorted(map(int, ran.read_text().split())) == sorted(ids)


def test_a_server_needs_a_database_only_and_makes_the_schema(empty_database_url: str, tmp_path: Path) -> None:
    environment = own_environment() | {
        "ATTUNE__DATABASE__URL": empty_database_url,
        "ATTUNE__PACKS_BASE_DIR": str(tmp_path / "packs"),
    }
    before = attune(environment, "worker", "list")
    assert before.returncode == 1
    assert "hint: run: attune db migrate" in before.stderr
    server = start_server(environment, tmp_path / "server.log")
    try:
        assert "attune identity create --admin" in server.log()
        assert attune(environment, "pack", "register", "core").returncode == 0
        assert attune(environment, "identity", "create", "ada", "--admin", stdin=PASSWORD).returncode == 0
        client = ApiClient(server.url).login("ada", PASSWORD)
        assert client.ok("GET", "/auth/me")["assigned_permission_set_refs"] == ["core.admin"]
        second = start_server(environment, tmp_path / "second.log")
        try:
            # The secret that signs tokens was made once and is shared.
            assert ApiClient(second.url, client.token, client.http).get("/auth/me").status_code == 200
        finally:
            assert second.stop() == 0
        client.http.close()
    finally:
        assert server.stop() == 0


def test_on_a_database_that_others_made_nothing_runs_unnamed(empty_database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA attune")
        connection.execute("CREATE TABLE attune.execution (id bigint PRIMARY KEY)")
    environment = own_environment() | {"ATTUNE__DATABASE__URL": empty_database_url}
    refused = attune(environment, "server", "--port", "0")
    assert refused.returncode == 2
    assert "--only api,dispatcher" in refused.stderr
    refused = attune(environment, "server", "--port", "0", "--only", "api")
    assert refused.returncode == 2
    assert "attune db migrate --server" in refused.stderr
    assert attune(environment, "server", "--only", "kitchen").returncode == 2


def test_a_request_under_way_is_answered_before_the_server_leaves(shared: Site) -> None:
    with held(shared.deployment, "INSERT ON execution", at="statement") as gate, ThreadPoolExecutor() as threads:
        asked = threads.submit(shared.admin.post, "/api/v1/executions", {"action_ref": "core.echo"})
        gate.wait()
        shared.server.process.send_signal(signal.SIGTERM)
        until(lambda: refused(shared.server.url), "the end of accepting")
        gate.open()
        assert asked.result().status_code == 201
    assert shared.server.process.wait(20) == 0


def test_a_second_signal_waits_for_no_request(shared: Site) -> None:
    with held(shared.deployment, "INSERT ON execution", at="statement") as gate, ThreadPoolExecutor() as threads:
        asked = threads.submit(shared.admin.post, "/api/v1/executions", {"action_ref": "core.echo"})
        gate.wait()
        shared.server.process.send_signal(signal.SIGTERM)
        until(lambda: refused(shared.server.url), "the end of accepting")
        shared.server.process.send_signal(signal.SIGTERM)
        with pytest.raises(httpx.TransportError):
            asked.result()
        gate.open()
    assert shared.server.process.wait(20) == 75


def refused(url: str) -> bool:
    try:
        httpx.get(f"{url}/health", trust_env=False)
    except httpx.ConnectError:
        return True
    except httpx.TransportError:  # it was accepted just before the end, and let go without an answer
        return False
    return False


def test_while_the_database_is_away_requests_are_told_to_come_back(shared: Site) -> None:
    deployment = shared.deployment
    name = deployment.one("SELECT current_database() AS name")["name"]
    with psycopg.connect(with_database(deployment.database_url, "postgres"), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [name],
        )
        answer = shared.admin.get("/api/v1/workers")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json()["error"] == "the database is away; try again"
        assert shared.admin.get("/health").status_code == 200
        assert shared.admin.get("/health/ready").status_code == 503
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())
    deployment.database.close()
    deployment.database = deployment.connect()
    deadline = time.monotonic() + 30
    while shared.admin.get("/health/ready").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    made = shared.admin.ok("POST", "/api/v1/executions", {"action_ref": "core.echo"})["id"]
    deployment.start_agent()
    assert deployment.wait(made, timeout=60).status == "completed"
