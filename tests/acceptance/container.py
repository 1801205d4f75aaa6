"""A worker in a container: the one-file agent, injected, on the tests' own database."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
from docker.models.containers import Container

from tests.acceptance.command import ROOT, run
from tests.services.docker import Engine
from tests.services.waiting import PATIENCE

#: Where the directory with the database's socket is mounted.
SOCKET = "/database"


@dataclass(frozen=True)
class Site:
    """What the containers of one deployment share: the database (also the broker) and the packs."""

    engine: Engine
    database_url: str

    @property
    def settings(self) -> dict[str, str]:
        """For commands on this machine."""
        return {"ATTUNE__DATABASE__URL": self.database_url, "ATTUNE__MESSAGE_QUEUE__URL": "database"}

    @property
    def socket(self) -> str:
        """The directory of the database's socket."""
        return parse_qs(urlsplit(self.database_url).query)["host"][0]

    @property
    def inside(self) -> dict[str, str]:
        """For agents in containers."""
        url = self.database_url.replace(self.socket, SOCKET)
        return {"ATTUNE__DATABASE__URL": url, "ATTUNE__MESSAGE_QUEUE__URL": "database"}

    def register(self, *packs: str) -> None:
        """Register packs of this source tree."""
        for pack in packs:
            done = run("attune", "pack", "register", str(ROOT / "packs" / pack), settings=self.settings)
            assert done.returncode == 0, done.stderr

    def action(self, ref: str, *words: str) -> dict[str, Any]:
        """Run one action and return the execution's row."""
        done = run("attune", "run", ref, *words, "--timeout", "30", "--json", settings=self.settings, timeout=90)
        assert done.stdout, done.stderr
        return dict(json.loads(done.stdout))

    def worker_status(self, name: str) -> str | None:
        """Return the status in a worker's row."""
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute("SELECT status::text FROM attune.worker WHERE name = %s", [name]).fetchone()
        return None if row is None else str(row[0])


@dataclass(frozen=True)
class Worker:
    """One container to be: image, user, mounts."""

    image: str
    program: str = "/opt/attune/bin/attune-agent"
    name: str = field(default_factory=lambda: f"worker-{uuid.uuid4().hex[:8]}")
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def container(site: Site, worker: Worker) -> Iterator[Container]:
    """Start a worker's container; at the end stop it, so that its row says so, and remove it."""
    options = dict(worker.options)
    binds = [f"{site.socket}:{SOCKET}:ro", f"{ROOT / 'packs'}:/opt/attune/packs:ro", *options.pop("volumes", [])]
    made = site.engine.client.containers.create(
        worker.image,
        [worker.program],
        environment={**site.inside, "ATTUNE_WORKER_NAME": worker.name, "PATH": PATH, **worker.environment},
        volumes=binds,
        network_mode="host",
        **options,
    )
    try:
        made.start()
        yield made
    finally:
        made.stop(timeout=20)
        made.remove(force=True, v=True)


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def wait_until_ready(site: Site, worker: Worker, made: Container) -> None:
    """Wait for the worker's row, which costs little, then ask the agent itself; fail at once when it has ended."""
    deadline = time.monotonic() + PATIENCE
    while site.worker_status(worker.name) != "active":
        made.reload()
        assert made.status == "running", f"the agent ended: {made.logs().decode()}"
        assert time.monotonic() < deadline, f"never active: {made.logs().decode()}"
        time.sleep(0.1)
    answer = made.exec_run([worker.program, "health"])
    assert answer.exit_code == 0, answer.output


def stop(made: Container) -> int:
    """Send SIGTERM and return the exit code."""
    made.kill("SIGTERM")
    return int(made.wait(timeout=PATIENCE)["StatusCode"])


def install_volume(engine: Engine, image: str, program: Path, name: str, *words: str) -> str:
    """Run `install` in a container that mounts the volume ``name``; return what it printed."""
    output = engine.client.containers.run(
        image,
        ["/attune-agent", "install", "/opt/attune/bin", *words],
        volumes=[f"{program}:/attune-agent:ro", f"{name}:/opt/attune/bin"],
        network_mode="none",
        remove=True,
    )
    return bytes(output).decode()
