"""Agents of an earlier commit work under this server, so that servers may be upgraded before workers."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.server.conftest import Site, close_site, open_site
from tests.services.agent_process import ROOT, AgentProcess
from tests.services.deployment import running_deployment

pytestmark = pytest.mark.postgres

JOBS = 20


def git(*words: str) -> bytes:
    """Ask git; skip where there is no history to ask for."""
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this tree has no such history: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def commit_before_the_server() -> str:
    """The last commit that had agents and no server."""
    added = git("log", "--diff-filter=A", "--format=%H", "--", "agent/dispatch/service.py").decode().split()
    if not added:
        pytest.skip("this tree has no commit from before the server")
    return git("rev-parse", f"{added[-1]}^").decode().strip()


@pytest.fixture(params=["database", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server of this tree, without workers."""
    with running_deployment(request, request.param) as deployment:
        opened = open_site(deployment)
        try:
            yield opened
        finally:
            close_site(opened)


def start_from(commit: str, site: Site, directory: Path) -> AgentProcess:
    """Start the agent of a commit, on the interpreter and libraries of this tree."""
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit, "agent", "packs", "migrations"))) as tree:
        tree.extractall(directory, filter="data")
    log_path = site.deployment.directory / "earlier.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", "--name", "earlier"],
            env={**site.environment, "PYTHONPATH": str(directory)},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    agent = AgentProcess("earlier", process, log_path)
    site.deployment.agents.append(agent)
    site.deployment.wait_active(agent)
    return agent


@pytest.mark.parametrize("age", ["before the server", "the commit before"])
def test_an_earlier_agent_runs_cancels_and_drains_under_this_server(age: str, site: Site, tmp_path: Path) -> None:
    commit = commit_before_the_server() if age == "before the server" else git("rev-parse", "HEAD^").decode().strip()
    agent = start_from(commit, site, tmp_path)
    deployment = site.deployment
    ids = [site.admin.ok("POST", "/api/v1/executions", {"action_ref": "core.echo"})["id"] for _ in range(JOBS)]
    assert {deployment.wait(one).status for one in ids} == {"completed"}
    body = {"action_ref": "core.sleep", "parameters": {"seconds": 100}}
    slow = site.admin.ok("POST", "/api/v1/executions", body)["id"]
    deployment.wait(slow, "running")
    site.admin.ok("POST", f"/api/v1/executions/{slow}/cancel")
    assert deployment.wait(slow).status == "cancelled"
    found = site.admin.ok("GET", f"/api/v1/workers/{agent.worker_id}/capabilities")
    assert "shell" in [one["name"] for one in found["runtimes"]]
    assert agent.stop() == 0
    assert site.admin.ok("GET", f"/api/v1/workers/{agent.worker_id}")["health_state"] == "offline"
