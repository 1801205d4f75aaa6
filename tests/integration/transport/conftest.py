"""A server and workers that share the database with it, and no directory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.server.conftest import Site, close_site, open_site
from tests.services.agent_process import AgentProcess
from tests.services.deployment import Deployment, running_deployment
from tests.services.server import start_server

TOKEN = "bootstrap-of-the-tests-0123456789"


@dataclass
class Apart:
    """A deployment with a server on one side and agents with directories of their own on the other."""

    site: Site
    settings: dict[str, str]

    @property
    def deployment(self) -> Deployment:
        """The database, the broker, the server's packs."""
        return self.site.deployment

    def place(self, name: str) -> Path:
        """The directory of one agent."""
        return self.deployment.directory / f"apart-{name}"

    def start_agent(self, name: str, *, url: str | None = None, **extra: str) -> AgentProcess:
        """Start an agent that knows the server's URL and nothing of its directories, nor of its secret."""
        place = self.place(name)
        settings = {
            "ATTUNE_API_URL": url or self.site.server.url,
            "ATTUNE__PACKS_BASE_DIR": str(place / "packs"),
            "ATTUNE__ARTIFACTS_DIR": str(place / "artifacts"),
            "ATTUNE__RUNTIME_ENVS_DIR": str(place / "envs"),
            "ATTUNE__AGENT__BOOTSTRAP_TOKEN": TOKEN,
            "ATTUNE__SECURITY__JWT_SECRET": "",
            "ATTUNE_WORKER_RUNTIMES": "shell,python",
        }
        return self.deployment.start_agent(name, **settings | extra)

    def stop_server(self) -> None:
        """Take the server away."""
        self.site.server.stop()

    def restart_server(self) -> None:
        """Bring a server back to the same port."""
        port = self.site.server.port
        environment = self.site.environment | self.settings
        made = start_server(environment, self.deployment.directory / f"server-{uuid.uuid4().hex}.log", port=port)
        self.site.servers.append(made)
        self.site.server = made

    def add_action(self, ref: str, script: str, **columns: object) -> None:
        """Add an action to a pack of the server."""
        pack = ref.partition(".")[0]
        self.deployment.add_action(ref, script, **columns)
        self.deployment.write(pack, "pack.yaml", f"ref: {pack}\nlabel: {pack}\nversion: 1.0.0\n", mode=0o644)

    def versions(self, name: str, pack: str) -> list[str]:
        """The versions of a pack that lie on the disk of an agent."""
        folder = self.place(name) / "packs" / ".fetched" / pack
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def open_apart(deployment: Deployment) -> Apart:
    """Start the server."""
    # Agents know the token and no secret: what they show must come from the server.
    settings = {"ATTUNE__AGENT__BOOTSTRAP_TOKEN": TOKEN}
    return Apart(open_site(deployment, **settings), settings)


@contextmanager
def running_apart(deployment: Deployment) -> Iterator[Apart]:
    """Run one for the length of the block."""
    opened = open_apart(deployment)
    try:
        yield opened
    finally:
        for agent in deployment.agents:
            agent.kill()
        close_site(opened.site)


@pytest.fixture(scope="module")
def apart(request: pytest.FixtureRequest) -> Iterator[Apart]:
    """One for all tests of a module."""
    with running_deployment(request, "database") as deployment, running_apart(deployment) as opened:
        yield opened
