"""A server in front of a scenario's site: work is asked for over HTTP, again and again until it is accepted."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.faults.jobs import SHORT
from tests.faults.site import Site
from tests.services.server import ApiClient, ServerProcess, attune, start_server

_PASSWORD = "a password of the faults"
_numbers = itertools.count(1)


@dataclass
class Served:
    """A site with a server. ``answers`` counts the status of each answer, 0 where there was none."""

    site: Site
    server: ServerProcess
    client: ApiClient
    answers: Counter[int] = field(default_factory=Counter)
    refusals: set[str] = field(default_factory=set)

    def kill(self) -> None:
        """End the server as a crash would and start its next life."""
        self.server.kill()
        self.site.database.expire()
        self.server = _start(self.site)
        self.client.url = self.server.url

    def request(self, number: int, action: str = SHORT) -> list[int]:
        """Ask for so many executions, at this scale; each until it is accepted, and under a key of its own."""
        ids = [self._accepted(action) for _ in range(self.site.count(number))]
        self.site.submitted += ids
        return ids

    @contextmanager
    def requests_flow(self) -> Iterator[None]:
        """Ask for executions for the length of the block, from two clients; whatever was accepted has ended then."""
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                self.request(1)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _accepted(self, action: str) -> int:
        key = f"fault {next(_numbers)}"
        deadline = time.monotonic() + self.site.patience
        while time.monotonic() < deadline:
            try:
                answer = self.client.post(
                    "/api/v1/executions/execute", {"action_ref": action}, headers={"Idempotency-Key": key}
                )
            except httpx.TransportError:
                self.answers[0] += 1
                time.sleep(0.05)
                continue
            self.answers[answer.status_code] += 1
            if answer.status_code == 201:
                return int(answer.json()["data"]["id"])
            self.refusals.add(answer.text)
            time.sleep(0.05)
        raise AssertionError(f"nothing was accepted for {self.site.patience:g} s: {self.answers} {self.refusals}")


@contextmanager
def served(site: Site) -> Iterator[Served]:
    """Run a server, whose connections go through the site's proxies; at the end wait for what was accepted."""
    server = _start(site)
    made = attune(site.environment, "identity", "create", "fault", "--admin", stdin=_PASSWORD)
    assert made.returncode == 0, made.stderr
    found = Served(site, server, ApiClient(server.url).login("fault", _PASSWORD))
    try:
        yield found
        site.wait_ended()
        _let_outbox_empty(site)
        assert "Traceback" not in found.server.log(), found.server.log()[-3000:]
        assert found.server.stop() == 0, found.server.log()[-3000:]
    finally:
        found.server.kill()
        found.client.http.close()


def _start(site: Site) -> ServerProcess:
    settings = {"ATTUNE__DISPATCHER__MONITOR_INTERVAL": "0.5"}
    return start_server(site.environment | settings, site.directory / f"server-{time.monotonic_ns()}.log")


def _let_outbox_empty(site: Site) -> None:
    deadline = time.monotonic() + site.patience
    while site.direct.one("SELECT count(*) FROM server_outbox"):
        assert time.monotonic() < deadline, "messages stay in the outbox"
        time.sleep(0.05)
