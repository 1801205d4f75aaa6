"""One server on one deployment for all tests of a module; what a test changes, it names uniquely."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.services.deployment import Deployment, running_deployment
from tests.services.server import ApiClient, ServerProcess, attune, start_server

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


@dataclass
class Site:
    """A deployment with a server; ``admin`` has logged in with everything that `core.admin` grants."""

    deployment: Deployment
    server: ServerProcess
    admin: ApiClient
    servers: list[ServerProcess] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a server or a command of this deployment is started with."""
        return self.deployment.environment

    def person(self, *sets: str) -> tuple[str, ApiClient]:
        """Make an account with some permission sets; return its login and a client of its own."""
        login = f"person-{next(_numbers)}"
        self.admin.ok("POST", "/api/v1/identities", {"login": login, "password": PASSWORD})
        for ref in sets:
            self.grant(login, ref)
        return login, self.admin.login(login, PASSWORD)

    def grant(self, login: str, ref: str) -> None:
        """Give an account a permission set."""
        body = {"identity_login": login, "permission_set_ref": ref}
        self.admin.ok("POST", "/api/v1/permissions/assignments", body)

    def permission_set(self, grants: list[dict[str, object]]) -> str:
        """Make a permission set; return its ref."""
        from psycopg.types.json import Jsonb

        ref = f"test.set{next(_numbers)}"
        self.deployment.database.execute(
            "INSERT INTO permission_set (ref, grants) VALUES (%s, %s)", [ref, Jsonb(grants)]
        )
        return ref

    def another_server(self, *words: str, **settings: str) -> ServerProcess:
        """Start one more server."""
        log = self.deployment.directory / f"server-{len(self.servers)}.log"
        made = start_server(self.environment | settings, log, *words)
        self.servers.append(made)
        return made


def open_site(deployment: Deployment, *words: str, **settings: str) -> Site:
    """Start a server on a deployment, and make its first account with the operator's command."""
    environment = deployment.environment | settings
    server = start_server(environment, deployment.directory / "server.log", *words)
    made = attune(environment, "identity", "create", "admin", "--admin", stdin=PASSWORD)
    assert made.returncode == 0, made.stderr
    return Site(deployment, server, ApiClient(server.url).login("admin", PASSWORD), [server])


def close_site(site: Site) -> None:
    """Stop every server."""
    for server in site.servers:
        if server.process.poll() is None:
            try:
                server.stop()
            finally:
                server.kill()
    site.admin.http.close()


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server for all tests of a module, on the database alone."""
    with running_deployment(request, "database") as deployment:
        opened = open_site(deployment)
        try:
            yield opened
        finally:
            close_site(opened)
