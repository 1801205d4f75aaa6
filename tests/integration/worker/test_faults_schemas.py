"""Two deployments in two schemas of one database: each has a worker 1, and neither is in the other's way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.db.migrations import apply_migrations
from agent.db.pool import Database
from agent.packs.loader import register
from agent.packs.parser import read_pack
from agent.packs.registered import registered_runtimes
from agent.paths import shipped
from agent.settings import DatabaseSettings
from tests.integration.worker.jobs import ONLY_SHELL, Jobs
from tests.integration.worker.test_rescue import EPHEMERAL, QUICK
from tests.services.agent_process import ROOT
from tests.services.deployment import Deployment
from tests.services.proxy import until
from tests.services.wire import DatabaseWire

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("fresh_deployment", ["database"], indirect=True),
]

#: What an agent of release 0.1.0 holds for life, and what all its other sessions hold, shared; the id is added.
_EARLIER_LOCK, _EARLIER_MARK = 0x4174776B << 32, 0x41747365 << 32


@pytest.fixture
def neighbour(fresh_deployment: Deployment, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment in another schema of the same database."""
    url = fresh_deployment.database_url
    database = Database(DatabaseSettings(url=url, schema="neighbour"), application_name="attune-tests")
    apply_migrations(database, shipped("migrations"))
    register(database, read_pack(ROOT / "packs" / "core", registered_runtimes(database)))
    database.close()
    tmp_path.chmod(0o755)
    with closing(Deployment(tmp_path, url, DatabaseWire(url, schema="neighbour"), schema="neighbour")) as laid_out:
        yield laid_out


@pytest.fixture
def neighbours_jobs(neighbour: Deployment) -> Iterator[Jobs]:
    made = Jobs(neighbour)
    yield made
    made.release()


def test_workers_of_one_id_live_side_by_side_and_a_new_life_of_one_ends_nothing_of_the_other(
    fresh_deployment: Deployment, jobs: Jobs, neighbour: Deployment, neighbours_jobs: Jobs
) -> None:
    ours = fresh_deployment.start_agent("ours", **ONLY_SHELL)
    theirs = neighbour.start_agent("theirs", **ONLY_SHELL)
    assert ours.worker_id == theirs.worker_id
    running, theirs_running = jobs.begin(), neighbours_jobs.begin()
    sessions = _sessions(fresh_deployment, "theirs")
    assert len(sessions) > 1
    ours.kill()
    fresh_deployment.start_agent("ours", **ONLY_SHELL)
    assert fresh_deployment.wait(running).status == "abandoned"
    assert _sessions(fresh_deployment, "theirs") == sessions
    neighbours_jobs.release()
    neighbours_jobs.assert_ran_once(theirs_running)
    jobs.assert_ran_once(fresh_deployment.start(jobs.QUICK))


def test_a_worker_that_is_gone_is_cleaned_up_after_although_the_neighbours_of_its_id_lives(
    fresh_deployment: Deployment, jobs: Jobs, neighbour: Deployment
) -> None:
    for deployment in (fresh_deployment, neighbour):
        deployment.start_agent("other", **QUICK)
        deployment.start_agent("worker-1", **EPHEMERAL)
    gone, living = fresh_deployment.agents[-1], neighbour.agents[-1]
    assert gone.worker_id == living.worker_id
    running = jobs.begin()
    gone.kill()
    assert fresh_deployment.wait(running).result["cause"] == "worker_lost"
    assert neighbour.one("SELECT status::text FROM worker WHERE name = 'worker-1'")["status"] == "active"


def test_an_agent_that_knows_only_the_earlier_lock_and_one_that_knows_the_schema_exclude_each_other(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    agent = fresh_deployment.start_agent(**ONLY_SHELL)
    key = _EARLIER_LOCK | agent.worker_id
    take = f"SELECT pg_try_advisory_lock({key}) AS taken"
    assert not fresh_deployment.one(take)["taken"]
    assert agent.stop() == 0
    assert fresh_deployment.one(take)["taken"]
    second = fresh_deployment.start_agent(wait=False, ATTUNE__WORKER__SHUTDOWN_TIMEOUT="0", **ONLY_SHELL)
    assert second.wait() == 1
    assert "another process runs as worker worker-1" in second.log()
    fresh_deployment.agents.remove(second)
    fresh_deployment.one(f"SELECT pg_advisory_unlock({key})")
    fresh_deployment.start_agent(**ONLY_SHELL)
    jobs.assert_ran_once(fresh_deployment.start(jobs.QUICK))


def test_sessions_that_a_life_of_the_earlier_release_left_are_ended(fresh_deployment: Deployment) -> None:
    worker_id = fresh_deployment.start_agent(**ONLY_SHELL).worker_id
    assert fresh_deployment.agent.stop() == 0
    with closing(fresh_deployment.connect()) as left:
        left.execute(f"SELECT pg_advisory_lock_shared({_EARLIER_MARK | worker_id})")
        pid = left.info.backend_pid
        fresh_deployment.start_agent(**ONLY_SHELL)
        alive = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
        until(lambda: not fresh_deployment.all(alive, [pid]), "the end of the earlier session")


def _sessions(deployment: Deployment, worker: str) -> set[int]:
    """The sessions on the server that hold locks for a worker of this name."""
    rows = deployment.all(
        "SELECT pid FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory'"
        " AND application_name LIKE %s",
        [f"%{worker}%"],
    )
    return {row["pid"] for row in rows}
