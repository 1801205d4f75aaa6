"""The operator's command asked both ways: the database with all settings, and an API without a single one."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.acceptance.command import argv, environment
from tests.services.deployment import Deployment, running_deployment
from tests.services.server import ServerProcess, start_server

BOTH_WAYS = ("database", "api")


class Place:
    """A deployment with a server and one agent, and the operator's command on it."""

    def __init__(self, deployment: Deployment, server: ServerProcess, way: str) -> None:
        self.deployment = deployment
        self.server = server
        self.way = way
        self.settings = environment(deployment.environment)
        self.environment = self.settings

    def attune(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            argv("attune", *words), env=self.environment, input=stdin, capture_output=True,
            text=True, timeout=90, check=False,
        )  # fmt: skip

    def ok(self, *words: str, stdin: str = "") -> str:
        """Run a command that must succeed; return what it printed."""
        done = self.attune(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def ask(self, *words: str) -> Any:
        """Run a command with --json; return the document."""
        return json.loads(self.ok(*words, "--json"))

    def restart_server(self) -> None:
        """Kill the server, and start another one at the same port."""
        self.server.kill()
        log = self.deployment.directory / f"server-{uuid.uuid4().hex}.log"
        self.server = start_server(self.deployment.environment, log, port=self.server.port)

    def refused(self, *words: str, stdin: str = "", code: int = 1) -> str:
        """Run a command that must be refused; return its sentence."""
        done = self.attune(*words, stdin=stdin)
        assert done.returncode == code, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stderr


@contextmanager
def running_place(request: pytest.FixtureRequest, way: str) -> Iterator[Place]:
    """Run a server and an agent called ``w1`` for the length of the block."""
    with running_deployment(request, "database") as deployment:
        server = start_server(deployment.environment, deployment.directory / "server.log")
        made = Place(deployment, server, way)
        try:
            deployment.start_agent("w1")
            if way == "api":
                log_in(made)
            yield made
        finally:
            made.server.stop()


def log_in(place: Place) -> None:
    """Make an administrator; from now on the commands know the API's URL and nothing else."""
    place.ok("identity", "create", "operator", "--admin", stdin="a good password\n")
    place.environment = environment({"XDG_CONFIG_HOME": str(place.deployment.directory / "home")})
    place.ok("login", place.server.url, "--user", "operator", stdin="a good password\n")
    assert place.ask("whoami")["login"] == "operator"


def documents(settings: dict[str, str], asked: Sequence[Sequence[str]]) -> list[Any]:
    """Run commands with --json, all in one process; return what they printed."""
    program = (
        "import json, sys; from agent.cli.operator import run\n"
        "for words in json.loads(sys.argv[1]): print(end='\\x1e', flush=True); assert run([*words, '--json']) == 0\n"
    )
    done = subprocess.run(
        [argv("attune")[0], "-c", program, json.dumps(asked)], env=settings, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(text) for text in done.stdout.split("\x1e")[1:]]
