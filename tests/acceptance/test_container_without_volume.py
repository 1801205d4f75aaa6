"""A worker without any volume: script, agent, token and packs come from the server, logs go there."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command import ROOT, argv, environment
from tests.integration.environment_site import make_wheel
from tests.services.availability import unavailable
from tests.services.docker import BaseImage, Engine
from tests.services.waiting import until

pytestmark = pytest.mark.docker

PASSWORD = "correct horse battery"
SERVER = "http://127.0.0.1:8080"
COMPOSE = ROOT / "deploy" / "compose" / "without-volumes.yaml"
MANIFEST = "ref: apart\nlabel: Apart\nversion: 1.0.0\n"
ACTION = """ref: apart.greet
label: Greet
runner_type: python
entry_point: greet.py
output_format: json
parameters: {}
"""
SCRIPT = """import json, pathlib, time
import attune_greeting
print(attune_greeting.TEXT, flush=True)
until = time.monotonic() + 60
while not pathlib.Path("/tmp/go-on").exists() and time.monotonic() < until:
    time.sleep(0.05)
print(json.dumps({"greeting": attune_greeting.TEXT}))
"""


@dataclass(frozen=True)
class Project:
    """The Compose project, up."""

    command: list[str]
    environment: dict[str, str]
    engine: Engine

    def run(self, *words: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.command, *words],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    def within(self, service: str, *words: str, stdin: str = "") -> str:
        """Run a command in a service's container; return its output."""
        return self.run("exec", "-T", service, *words, stdin=stdin).stdout

    def curl(self, path: str, *words: str) -> str:
        """Ask the server with this machine's curl, from the network of its container."""
        done = subprocess.run(
            self.asking(path, "--max-time", "90", *words), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def asking(self, path: str, *words: str) -> list[str]:
        """Return that command."""
        return [*self.beside_server(), "curl", "-sSN", *words, f"{SERVER}{path}"]

    def beside_server(self) -> list[str]:
        """Return how a program of this machine is started in the network of the server's container."""
        server = self.run("ps", "-q", "server").stdout.strip()
        process = self.engine.client.api.inspect_container(server)["State"]["Pid"]
        return ["nsenter", "-t", str(process), "-n"]


@pytest.fixture(scope="module")
def project(docker_engine: Engine, built_image: Callable[[str], str], base_image: BaseImage) -> Iterator[Project]:
    for program in ("docker-compose", "curl", "nsenter"):
        if shutil.which(program) is None:
            unavailable(program, "apt-get install docker-compose curl util-linux")
    environment = {
        **os.environ,
        "DOCKER_HOST": docker_engine.url,
        "ATTUNE_BOOTSTRAP_TOKEN": uuid.uuid4().hex,
        "SERVER_IMAGE": built_image("server"),
        "SERVER_PORT": "127.0.0.1:",  # any
        "PYTHON_IMAGE": base_image("debian"),
        "POSTGRES_IMAGE": base_image("postgres"),
    }
    name = f"attune{uuid.uuid4().hex[:8]}"
    made = Project(["docker-compose", "-p", name, "-f", str(COMPOSE)], environment, docker_engine)
    try:
        made.run("up", "-d")
        yield made
    finally:
        made.run("down", "-v", "-t", "5", check=False)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A pack with an action that needs a library, which lies in the pack."""
    root = tmp_path_factory.mktemp("pack") / "apart"
    make_wheel(root / "wheels", "attune_greeting", "1.0", 'TEXT = "hello from a wheel"\n')
    (root / "actions").mkdir()
    (root / "pack.yaml").write_text(MANIFEST)
    (root / "requirements.txt").write_text("--no-index\n--find-links wheels\nattune_greeting==1.0\n")
    (root / "actions" / "greet.yaml").write_text(ACTION)
    (root / "actions" / "greet.py").write_text(SCRIPT)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(root, "apart")
    return buffer.getvalue()


def test_an_action_with_a_dependency_runs_and_its_log_is_watched(project: Project, pack: bytes, tmp_path: Path) -> None:
    worker = project.run("ps", "-q", "worker").stdout.strip()
    assert project.engine.client.api.inspect_container(worker)["Mounts"] == []
    project.within("server", "attune", "pack", "register", _core(project))
    project.within("server", "attune", "identity", "create", "admin", "--admin", stdin=PASSWORD)
    json_body = ("-H", "Content-Type: application/json", "-d")
    found = project.curl("/auth/login", *json_body, json.dumps({"login": "admin", "password": PASSWORD}))
    token = json.loads(found)["data"]["access_token"]
    bearer = ("-H", f"Authorization: Bearer {token}")
    archive = tmp_path / "pack.tar.gz"
    archive.write_bytes(pack)
    project.curl("/api/v1/packs/upload", *bearer, "-f", "-F", f"pack=@{archive}")
    until(lambda: project.run("logs", "worker").stdout.count("is active"), "the worker", 120)
    body = json.dumps({"action_ref": "apart.greet"})
    asked = project.curl("/api/v1/executions/execute", *bearer, *json_body, body)
    execution = json.loads(asked)["data"]["id"]
    log = f"/api/v1/executions/{execution}/logs/stdout/stream"
    command = project.asking(log, "--max-time", "90", *bearer)
    seen = []
    knows = environment({"ATTUNE_CLI_URL": SERVER, "ATTUNE_CLI_TOKEN": token})
    follow = [*project.beside_server(), *argv("attune", "execution", "logs", str(execution), "--follow")]
    with (
        subprocess.Popen(follow, env=knows, stdout=subprocess.PIPE, text=True) as following,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching,
    ):
        assert following.stdout is not None
        assert following.stdout.readline() == "hello from a wheel\n", "with a token and no setting"
        assert watching.stdout is not None
        for line in watching.stdout:
            seen.append(line)
            if "hello from a wheel" in line and len(seen) < 1000:
                project.within("worker", "touch", "/tmp/go-on")  # seen while the action still runs
                break
        seen += list(watching.stdout)
        assert json.loads(following.communicate(timeout=90)[0]) == {"greeting": "hello from a wheel"}
    assert watching.returncode == 0
    assert any("greeting" in line for line in seen), seen
    row: dict[str, Any] = {}

    def ended() -> bool:
        row.update(json.loads(project.curl(f"/api/v1/executions/{execution}", *bearer))["data"])
        return row["status"] not in ("requested", "scheduled", "running")

    until(ended, "the end of the execution")
    assert row["status"] == "completed", (row, project.run("logs", "--tail", "40").stdout)
    assert row["result"]["data"] == {"greeting": "hello from a wheel"}


def _core(project: Project) -> str:
    words = "from agent.paths import shipped; print(shipped('packs') / 'core')"
    return project.within("server", "/opt/attune/operator/bin/python3", "-c", words).strip()
