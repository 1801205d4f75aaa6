"""Sessions of PostgreSQL that are not what they seem: hanging, outlived, read-only, of other settings, shared."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from tests.integration.worker.jobs import ONLY_SHELL, Jobs
from tests.services.agent_process import AgentProcess
from tests.services.deployment import Deployment
from tests.services.pooler import pooler
from tests.services.postgres import database_name
from tests.services.proxy import Proxy, database_proxy, until

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

_GATE = 4711


@pytest.fixture
def network(fresh_deployment: Deployment) -> Iterator[Proxy]:
    """What lies between the database and agents that are started later."""
    with database_proxy(fresh_deployment.database_url) as (proxy, url):
        fresh_deployment.settings |= ONLY_SHELL | {
            "ATTUNE__DATABASE__URL": url,
            "ATTUNE__WORKER__HEARTBEAT_INTERVAL": "0.5",
            "ATTUNE__WORKER__SHUTDOWN_TIMEOUT": "9",
        }
        yield proxy


@contextmanager
def hanging_commits(deployment: Deployment, status: str) -> Iterator[threading.Event]:
    """Let each commit that writes this status hang in the server until the event is set."""
    deployment.all(
        "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.status::text = '{status}' THEN PERFORM pg_advisory_xact_lock_shared({_GATE}); END IF;"
        " RETURN NULL; END $$"
    )
    deployment.all(
        "CREATE CONSTRAINT TRIGGER hang AFTER UPDATE ON execution DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION hang()"
    )
    release, held = threading.Event(), threading.Event()

    def hold() -> None:
        with deployment.connect() as connection:
            connection.execute(f"SELECT pg_advisory_lock({_GATE})")
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(5)
    try:
        yield release
    finally:
        release.set()
        holder.join(10)


def hanging(deployment: Deployment) -> set[int]:
    """The sessions that wait in their commit."""
    return {
        row["pid"]
        for row in deployment.all(
            f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = {_GATE} AND NOT granted"
        )
    }


def sql(deployment: Deployment, text: str) -> None:
    deployment.all(text.replace("DATABASE it", f"DATABASE {database_name(deployment.database_url)}"))


def test_an_end_whose_commit_hangs_while_the_connection_is_cut_is_announced_once_and_its_log_has_one_version(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    fresh_deployment.start_agent()
    running = jobs.begin()
    with hanging_commits(fresh_deployment, "completed") as release:
        jobs.release(running)
        until(lambda: hanging(fresh_deployment), "a commit that hangs")
        first = hanging(fresh_deployment)
        network.sever()
        until(lambda: hanging(fresh_deployment) - first, "the second attempt")
        release.set()
        fresh_deployment.wait(running)
    jobs.assert_ran_once(running)
    (version,) = fresh_deployment.all(f"SELECT * FROM artifact_version WHERE execution = {running}")
    live = fresh_deployment.artifacts / f"execution_{running}" / "stdout.log"
    until(live.is_symlink, "the link to the log")
    assert live.resolve() == (fresh_deployment.artifacts / version["file_path"]).resolve()


def test_a_claim_of_an_earlier_life_that_hangs_in_the_server_does_not_outlive_it(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    agent = fresh_deployment.start_agent()
    with hanging_commits(fresh_deployment, "running") as release:
        execution_id = fresh_deployment.start(jobs.QUICK)
        until(lambda: hanging(fresh_deployment), "a claim that hangs")
        first = hanging(fresh_deployment)
        agent.kill()
        fresh_deployment.start_agent()
        until(lambda: not hanging(fresh_deployment) & first, "the end of the earlier session")
        release.set()
        row = fresh_deployment.wait(execution_id)
    assert row.status == "completed"
    jobs.assert_ran_once(execution_id)


@pytest.mark.alone
def test_sessions_that_came_back_read_only_are_replaced_as_soon_as_there_are_others(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    agent = fresh_deployment.start_agent()
    sql(fresh_deployment, "ALTER DATABASE it SET default_transaction_read_only = on")
    before = network.accepted
    network.cut()
    until(lambda: network.accepted > before + 6, "heartbeats that drop their session")
    execution_id = fresh_deployment.start(jobs.QUICK)
    agent.wait_for_log("no executions are claimed")
    agent.wait_for_log("can't send a heartbeat")
    sql(fresh_deployment, "ALTER DATABASE it RESET default_transaction_read_only")
    began = time.monotonic()
    fresh_deployment.wait(execution_id)
    agent.wait_for_log("heartbeat restored")
    assert time.monotonic() - began < 30  # a machine may be busy; a session that is kept stays for fifty seconds
    jobs.assert_ran_once(execution_id)


def test_settings_of_the_database_that_change_text_change_nothing(fresh_deployment: Deployment, jobs: Jobs) -> None:
    for setting in (
        "DateStyle = 'SQL, DMY'",
        "IntervalStyle = 'sql_standard'",
        "TimeZone = 'Asia/Kathmandu'",
        "bytea_output = 'escape'",
        "extra_float_digits = -10",
        "standard_conforming_strings = off",
        "default_transaction_isolation = 'serializable'",
        "transform_null_equals = on",
    ):
        sql(fresh_deployment, f"ALTER DATABASE it SET {setting}")
    # The second life reads what the first has written: times of heartbeats and of ends among it.
    for leave in (AgentProcess.kill, AgentProcess.stop):
        agent = fresh_deployment.start_agent(**ONLY_SHELL)
        execution_id = fresh_deployment.start(jobs.QUICK, worker=agent.worker_id)
        jobs.deployment.wait(execution_id)
        (completion,) = jobs.completions(execution_id)
        assert completion.payload["completed_at"].startswith("20")
        leave(agent)
    assert agent.process.returncode == 0


def test_a_server_that_ends_idle_sessions_does_not_end_the_one_that_holds_the_name(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    sql(fresh_deployment, "ALTER DATABASE it SET idle_session_timeout = '300ms'")
    agent = fresh_deployment.start_agent(ATTUNE__WORKER__HEARTBEAT_INTERVAL="30", **ONLY_SHELL)
    with (
        fresh_deployment.connect() as idle
    ):  # as idle as the agent's, and later: when it has been ended, so might those
        until(lambda: _has_ended(fresh_deployment, idle.info.backend_pid), "the end of an idle session")
    second = fresh_deployment.start_agent(wait=False, ATTUNE__WORKER__SHUTDOWN_TIMEOUT="0", **ONLY_SHELL)
    assert second.wait() == 1
    assert agent.running
    fresh_deployment.agents.remove(second)
    jobs.assert_ran_once(fresh_deployment.start(jobs.QUICK))


def _has_ended(deployment: Deployment, pid: int) -> bool:
    return not deployment.all("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid])


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_shares_sessions_is_refused_with_the_remedy(
    fresh_deployment: Deployment, mode: Literal["transaction", "statement"]
) -> None:
    with pooler(fresh_deployment.database_url, mode) as url:
        agent = fresh_deployment.start_agent(wait=False, ATTUNE__DATABASE__URL=url, **ONLY_SHELL)
        assert agent.wait() == 2
    assert "pool_mode = session" in agent.log()
    assert "Traceback" not in agent.log()


def test_a_pooler_that_gives_each_connection_a_session_works(fresh_deployment: Deployment, jobs: Jobs) -> None:
    with pooler(fresh_deployment.database_url, "session") as url:
        agent = fresh_deployment.start_agent(ATTUNE__DATABASE__URL=url, **ONLY_SHELL)
        jobs.assert_ran_once(fresh_deployment.start(jobs.QUICK))
        assert agent.stop() == 0
