"""What happens to the server while work is asked for: it is killed, its broker is away, its database restarts."""

from __future__ import annotations

import json
import time

from tests.faults.jobs import LONG
from tests.faults.served import Served, served
from tests.faults.site import Site
from tests.services.proxy import until


def _flows(accepted: Served, number: int) -> None:
    """Wait until so many more have been accepted."""
    wanted = accepted.answers[201] + number
    until(lambda: accepted.answers[201] >= wanted, f"{number} requests that are accepted", 60.0)


def server_killed(site: Site) -> None:
    """The server is killed at any moment while requests and jobs flow; a request without an answer is sent again."""
    site.start_agent()
    with served(site) as accepted, accepted.requests_flow():
        for number in range(site.count(6)):
            _flows(accepted, 5)
            time.sleep(0.01 * number)
            accepted.kill()
        _flows(accepted, 5)
    site.healed()


def broker_away_from_the_server(site: Site) -> None:
    """The broker is away for a minute: every request is accepted, and what is cancelled meanwhile is told later."""
    site.start_agent()
    with served(site) as accepted:
        running = accepted.request(4, LONG)
        site.wait_running(running, len(running))
        site.broker.refuse()
        away = time.monotonic() + max(4.0, 60.0 * site.scale)
        begun = accepted.request(20)
        for one in begun[::4]:
            accepted.client.post(f"/api/v1/executions/{one}/cancel")
        accepted.client.ok("POST", f"/api/v1/executions/{running[0]}/cancel")
        while time.monotonic() < away:
            accepted.request(1)
            time.sleep(0.5)
        assert set(accepted.answers) == {201}, accepted.answers
        site.broker.accept()
        site.release()
        site.healed()
        site.wait_ended()


def database_restarted_under_the_server(site: Site) -> None:
    """The database crashes and comes back while requests flow: 503 with a sentence meanwhile, never anything else."""
    site.start_agent()
    with served(site) as accepted, accepted.requests_flow():
        for _ in range(site.count(3)):
            _flows(accepted, 5)
            site.servers.postgres.restart("immediate")
            _flows(accepted, 5)
    assert set(accepted.answers) <= {201, 503}, accepted.answers
    sentences = {json.loads(one)["error"] for one in accepted.refusals}
    assert sentences <= {"the database is away; try again", "the database is busy; try again"}, sentences
    site.healed()


def database_away_from_the_server(site: Site) -> None:
    """Connections are cut in the middle of statements, then none can be made, then they stay and are silent."""
    site.start_agent()
    with served(site) as accepted, accepted.requests_flow():
        _flows(accepted, 5)
        for marker in (b"INSERT INTO execution", b"UPDATE execution", b"COMMIT"):
            for fault in ("lose request", "lose answer"):
                site.database.inject(marker, fault)  # type: ignore[arg-type]
                _flows(accepted, 5)
        site.database.refuse()
        time.sleep(2)
        site.database.accept()
        _flows(accepted, 5)
        site.database.pause()
        time.sleep(2)
        site.database.accept()
        _flows(accepted, 5)
    assert set(accepted.answers) <= {201, 503}, accepted.answers
    site.healed()
