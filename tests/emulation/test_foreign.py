"""The agent of the other architecture: it is one, its checksum is right, and it works where only it is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulation.conftest import FOREIGN
from tests.services.deployment import Deployment
from tests.services.proxy import broker_proxy, database_proxy
from tests.services.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

MACHINES = {"arm64": 0xB7, "amd64": 0x3E}
AGENT = "/opt/attune/bin/attune-agent"


@pytest.fixture(scope="module")
def installed(foreign_root: Path, foreign_agent: Path) -> Path:
    """The root, with the agent installed in it by itself."""
    shutil.copyfile(foreign_agent, foreign_root / "attune-agent")
    (foreign_root / "attune-agent").chmod(0o755)
    shutil.rmtree(foreign_root / "opt" / "attune", ignore_errors=True)
    done = inside(foreign_root, "/attune-agent", "install", "/opt/attune/bin")
    assert done.returncode == 0, done.stderr
    return foreign_root


def inside(root: Path, *words: str, user: str = "0:0") -> subprocess.CompletedProcess[str]:
    """Run a program of the other architecture in its root."""
    command = ["chroot", f"--userspec={user}", str(root), *words]
    path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(command, env=path, capture_output=True, text=True, check=False)


def test_the_file_is_for_that_architecture_and_its_checksum_is_right(foreign_agent: Path) -> None:
    content = foreign_agent.read_bytes()
    assert struct.unpack_from("<H", content, 18)[0] == MACHINES[FOREIGN]
    digest, name = foreign_agent.with_name(foreign_agent.name + ".sha256").read_text().split()
    assert (digest, name) == (hashlib.sha256(content).hexdigest(), foreign_agent.name)
    about = json.loads(foreign_agent.with_name(foreign_agent.name + ".cdx.json").read_text())
    assert about["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_it_needs_nothing_but_itself(foreign_agent: Path, tmp_path: Path) -> None:
    shutil.copyfile(foreign_agent, tmp_path / "attune-agent")
    (tmp_path / "attune-agent").chmod(0o755)
    (tmp_path / "tmp").mkdir()
    done = inside(tmp_path, "/attune-agent", "--version")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("user", ["0:0", "65532:65532"])
def test_it_finds_what_the_root_has(installed: Path, user: str) -> None:
    done = inside(installed, AGENT, "--detect-only", "--json", user=user)
    assert done.returncode == 0, done.stderr
    assert '"python"' in done.stdout
    assert '"shell"' in done.stdout


def test_doctor_looks_around(installed: Path) -> None:
    done = inside(installed, AGENT, "doctor", "--json")
    assert json.loads(done.stdout), done.stderr


@contextlib.contextmanager
def running(root: Path, deployment: Deployment) -> Iterator[None]:
    """Run the agent in its root, with the deployment's directory at the same place."""
    place = str(deployment.directory)
    (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
    script = (
        f'mount --bind {place} "{root}{place}" && mount -t proc proc "{root}/proc"'
        f' && exec chroot "{root}" {AGENT} --name foreign'
    )
    with (
        database_proxy(deployment.database_url) as (_, database),
        broker_proxy(deployment.wire.url) as (_, broker),
        tempfile.TemporaryFile() as log,
    ):
        addresses = {"ATTUNE__DATABASE__URL": database, "ATTUNE__MESSAGE_QUEUE__URL": broker}
        environment = {**deployment.environment, **addresses, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], env=environment, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(60) == 0


def test_an_execution_in_each_of_shell_and_python(installed: Path, fresh_deployment: Deployment) -> None:
    deployment = fresh_deployment
    deployment.add_action("far.shell", "#!/bin/sh\nuname -m\n")
    deployment.add_action("far.python", "import platform; print(platform.machine())\n", runtime="core.python")
    with running(installed, deployment):
        active = "SELECT id FROM worker WHERE name = 'foreign' AND status = 'active'"
        until(lambda: deployment.all(active), "an active worker", timeout=120)
        worker = deployment.one(active)["id"]
        for action in ("far.shell", "far.python"):
            row = deployment.wait(deployment.start(action, worker=worker), timeout=120)
            assert row.status == "completed", row.result
            assert row.result["stdout"].strip() == {"arm64": "aarch64", "amd64": "x86_64"}[FOREIGN]
