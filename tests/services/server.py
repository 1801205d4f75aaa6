"""`attune server` as a real process, and a client of its API."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.services.agent_process import ROOT

START_TIMEOUT = 60.0
_LISTENS = re.compile(r"listens on http://[^:\s]+:(\d+)")
_PROGRAM = [sys.executable, "-c", "from agent.cli.operator import main; main()"]


@dataclass
class ServerProcess:
    """One life of one server."""

    process: subprocess.Popen[bytes]
    log_path: Path
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """Everything it has written to stderr."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def stop(self, timeout: float = 30.0) -> int:
        """Ask it to end (SIGTERM); return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(10)


def start_server(environment: Mapping[str, str], log_path: Path, *words: str, port: int = 0) -> ServerProcess:
    """Start a server on any free port, or on ``port``, and wait until it listens."""
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [*_PROGRAM, "server", "--host", "127.0.0.1", "--port", str(port), *words],
            env=dict(environment),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    server = ServerProcess(process, log_path)
    deadline = time.monotonic() + START_TIMEOUT
    while (found := _LISTENS.search(server.log())) is None:
        assert process.poll() is None, f"the server exited with {process.returncode}:\n{server.log()}"
        assert time.monotonic() < deadline, f"the server does not listen:\n{server.log()}"
        time.sleep(0.02)
    server.port = int(found[1])
    return server


def attune(environment: Mapping[str, str], *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of the operator's commands."""
    return subprocess.run(
        [*_PROGRAM, *words], env=dict(environment), cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=60
    )


@dataclass
class ApiClient:
    """A client that is logged in, or shows any token."""

    url: str
    token: str | None = None
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30.0, trust_env=False))

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request."""
        headers = {**({"Authorization": f"Bearer {self.token}"} if self.token else {}), **options.pop("headers", {})}
        return self.http.request(method, self.url + path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET a path."""
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """POST JSON to a path."""
        return self.request("POST", path, **({"json": body} if body is not None else {}), **options)

    def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a request that must succeed; return what its envelope holds."""
        answer = self.request(method, path, **({"json": body} if body is not None else {}), **options)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        found = answer.json()
        return found["data"] if isinstance(found, dict) and "data" in found else found

    def as_(self, token: str | None) -> ApiClient:
        """Return a client with another token."""
        return ApiClient(self.url, token, self.http)

    def login(self, name: str, password: str) -> ApiClient:
        """Return a client that has logged in."""
        found = self.as_(None).ok("POST", "/auth/login", {"login": name, "password": password})
        return self.as_(found["access_token"])


def server_environment(deployment_environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of an agent, without what only an agent may have."""
    return {**os.environ, **deployment_environment}
