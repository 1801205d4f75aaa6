"""A database that goes away, loses answers or refuses: results wait, nothing runs twice or ends twice.

Promises: every execution ends; outages lose nothing.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.worker.jobs import ONLY_SHELL, Jobs
from tests.services.deployment import Deployment
from tests.services.proxy import Fault, Proxy, database_proxy, until

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

#: What the agent sends: the names of two prepared statements, and a statement.
CLAIM, FINISH, BOTH, COMMIT = b"\0claim\0", b"\0finish\0", b"\0claim and finish\0", b"COMMIT"
#: As the deployment sets it.
SLOTS = 4


@pytest.fixture
def network(fresh_deployment: Deployment) -> Iterator[Proxy]:
    """What lies between the database and the agent, which is started here."""
    with database_proxy(fresh_deployment.database_url) as (proxy, url):
        fresh_deployment.settings |= ONLY_SHELL | {
            "ATTUNE__DATABASE__URL": url,
            "ATTUNE__WORKER__HEARTBEAT_INTERVAL": "0.2",
            "ATTUNE__WORKER__SHUTDOWN_TIMEOUT": "9",
        }
        fresh_deployment.start_agent()
        yield proxy


def spooled(deployment: Deployment) -> list[Path]:
    return list(deployment.artifacts.glob(".attune-spool-*/*.json"))


def end_in_vain(deployment: Deployment, jobs: Jobs, network: Proxy) -> int:
    """Let a job end while the database is away, and the agent after it; only the spool knows of it then."""
    running = jobs.begin()
    network.refuse()
    jobs.release(running)
    until(lambda: spooled(deployment), "keeping the result on disk")
    assert deployment.agent.stop() == 75  # not everything was reported
    return running


def changes(deployment: Deployment, execution_id: int) -> list[str]:
    """The statuses that were announced."""
    return [m.payload["new_status"] for m in deployment.messages(execution_id) if "new_status" in m.payload]


def test_results_wait_on_disk_while_the_database_is_away_and_are_written_when_it_is_back(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    running = [jobs.begin(), jobs.begin()]
    network.refuse()
    jobs.release()
    until(lambda: len(spooled(fresh_deployment)) == 2, "keeping the results on disk")
    for path in spooled(fresh_deployment):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert json.loads(path.read_text())["result"]["stdout"] == "released\n"
    late = fresh_deployment.start(jobs.QUICK)
    assert fresh_deployment.agent.running
    network.accept()
    for execution_id in (*running, late):
        fresh_deployment.wait(execution_id)
    for execution_id in (*running, late):
        jobs.assert_ran_once(execution_id)
    assert spooled(fresh_deployment) == []


def test_results_that_wait_survive_the_end_of_the_agent(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    running = end_in_vain(fresh_deployment, jobs, network)
    assert fresh_deployment.execution(running).status == "running"
    network.accept()
    fresh_deployment.start_agent()
    assert jobs.assert_ran_once(running).result["stdout"] == "released\n"
    assert spooled(fresh_deployment) == []


def test_a_result_that_ends_with_the_agent_is_kept_although_the_database_does_not_answer(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    # The coordinator waits for an answer that never comes, when the last result and the end of the agent come.
    first, second = jobs.begin(), jobs.begin()
    network.hold_after(0)
    network.cut()
    jobs.release(first)
    until(lambda: network.held, "the attempt to connect again")
    jobs.release(second)
    until(lambda: len(jobs.ended()) == 2, "the end of both")
    assert fresh_deployment.agent.stop(timeout=60) == 75
    assert len(spooled(fresh_deployment)) == 2
    network.accept()
    fresh_deployment.start_agent()
    for execution_id in (first, second):
        jobs.assert_ran_once(execution_id)


@pytest.mark.parametrize("marker", [CLAIM, FINISH], ids=["claim", "finish"])
@pytest.mark.parametrize("fault", ["lose request", "lose answer"])
def test_a_claim_or_a_finish_that_is_lost_on_the_way_happens_once(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy, marker: bytes, fault: Fault
) -> None:
    fresh_deployment.add_action("job.silent", f"#!/bin/sh\necho $$ >> {jobs.traces}/started.$ATTUNE_EXEC_ID\n")
    network.inject(marker, fault)
    execution_id = fresh_deployment.start("job.silent")
    network.wait_for_faults()
    jobs.assert_ran_once(execution_id)
    assert changes(fresh_deployment, execution_id) == ["running", "completed"]


@pytest.mark.parametrize("fault", ["lose request", "lose answer"])
def test_an_end_and_a_claim_that_are_lost_together_happen_once(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy, fault: Fault
) -> None:
    fresh_deployment.add_action(
        "job.silent", f"#!/bin/sh\necho $$ >> {jobs.traces}/started.$ATTUNE_EXEC_ID\nsleep 0.3\n"
    )
    started = [fresh_deployment.start("job.silent") for _ in range(SLOTS)]
    for execution_id in started:
        fresh_deployment.wait(execution_id, "running")
    network.inject(BOTH, fault)
    waiting = [fresh_deployment.start("job.silent") for _ in range(SLOTS)]
    network.wait_for_faults()
    for execution_id in (*started, *waiting):
        jobs.assert_ran_once(execution_id)
        assert changes(fresh_deployment, execution_id) == ["running", "completed"]


def test_a_second_delivery_that_waits_while_the_end_of_the_first_can_not_be_written_runs_nothing(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    others = [jobs.begin() for _ in range(SLOTS - 1)]
    running = jobs.begin()
    fresh_deployment.dispatch(running)
    network.refuse()
    jobs.release(running)
    until(lambda: len(spooled(fresh_deployment)) == 1, "keeping the result on disk")
    network.accept()
    jobs.release()
    for execution_id in (running, *others):
        jobs.assert_ran_once(execution_id)


def test_an_end_that_was_written_but_not_announced_is_announced_although_the_report_of_it_was_kept(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    running = end_in_vain(fresh_deployment, jobs, network)
    (path,) = spooled(fresh_deployment)
    report = json.loads(path.read_text())
    fresh_deployment.database.execute(
        "UPDATE execution SET status = 'completed', result = %s WHERE id = %s", [json.dumps(report["result"]), running]
    )
    network.accept()
    fresh_deployment.start_agent()
    assert [m.payload["status"] for m in jobs.completions(running)] == ["Completed"]
    assert spooled(fresh_deployment) == []
    assert fresh_deployment.all("SELECT id FROM artifact_version WHERE execution = %s", [running]) == []


@pytest.mark.parametrize("fault", ["lose request", "lose answer"])
def test_logs_are_complete_although_the_transaction_that_filed_them_was_lost_on_the_way(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy, fault: Fault
) -> None:
    fresh_deployment.add_action("job.loud", "#!/bin/sh\necho out\necho err >&2\n")
    network.inject(COMMIT, fault, after=FINISH)
    lost = fresh_deployment.start("job.loud")
    network.wait_for_faults()
    others = [fresh_deployment.run("job.loud").id for _ in range(2)]
    for execution_id in (lost, *others):
        assert fresh_deployment.wait(execution_id).status == "completed"
        rows = fresh_deployment.all(
            "SELECT file_path, meta ->> 'stream' AS stream, size_bytes FROM artifact_version WHERE execution = %s",
            [execution_id],
        )
        for stream, text in (("stdout", "out\n"), ("stderr", "err\n")):
            (path,) = (row["file_path"] for row in rows if row["stream"] == stream)
            assert (fresh_deployment.artifacts / path).read_text() == text
            assert (fresh_deployment.artifacts / f"execution_{execution_id}" / f"{stream}.log").read_text() == text
    assert len({row["file_path"] for row in fresh_deployment.all("SELECT file_path FROM artifact_version")}) == 6


def test_a_cancellation_that_comes_while_a_claim_is_in_doubt_counts(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    network.inject(CLAIM, "lose answer")
    network.hold_after(0)
    execution_id = fresh_deployment.start(jobs.GATE)
    network.wait_for_faults()
    fresh_deployment.wait(execution_id, "running")
    fresh_deployment.cancel(execution_id)
    fresh_deployment.agent.wait_for_log(f"received a request to cancel execution {execution_id}")
    network.accept()
    assert fresh_deployment.wait(execution_id).status == "cancelled"
    assert [m.payload["status"] for m in jobs.completions(execution_id)] == ["Cancelled"]
    assert jobs.starts(execution_id) == []


def test_executions_go_on_although_a_migration_changed_the_type_of_a_column_meanwhile(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    fresh_deployment.start_agent(**ONLY_SHELL)
    running = jobs.begin()
    fresh_deployment.database.execute("ALTER TABLE enforcement ALTER COLUMN trigger_ref TYPE varchar(1000)")
    jobs.release(running)
    jobs.assert_ran_once(running)
    assert fresh_deployment.run(jobs.QUICK).status == "completed"


def test_sessions_that_an_operator_ends_are_opened_again(fresh_deployment: Deployment, jobs: Jobs) -> None:
    fresh_deployment.start_agent(ATTUNE__WORKER__HEARTBEAT_INTERVAL="0.2", **ONLY_SHELL)
    running = jobs.begin()
    for _ in range(3):
        end_sessions(fresh_deployment)
        assert fresh_deployment.run(jobs.QUICK).status == "completed"
    jobs.release(running)
    jobs.assert_ran_once(running)
    until(lambda: lock_holders(fresh_deployment) == 1, "the lock on the name")
    assert fresh_deployment.agent.stop() == 0


def test_a_status_is_written_although_the_session_was_lost_unnoticed(fresh_deployment: Deployment, jobs: Jobs) -> None:
    agent = fresh_deployment.start_agent(ATTUNE__WORKER__HEARTBEAT_INTERVAL="40", **ONLY_SHELL)
    running = jobs.begin()
    end_sessions(fresh_deployment)
    agent.process.terminate()
    until(lambda: status(fresh_deployment) == "busy", "the drain")
    assert lock_holders(fresh_deployment) == 1
    jobs.release(running)
    assert agent.wait() == 0
    assert status(fresh_deployment) == "inactive"


def test_a_session_that_only_the_server_still_believes_in_does_not_keep_the_registration_lock(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    running = jobs.begin()
    network.sever()
    fresh_deployment.agent.wait_for_log("ending this worker's earlier session")
    fresh_deployment.agent.wait_for_log("heartbeat restored")
    assert fresh_deployment.agent.running
    assert status(fresh_deployment) == "active"
    jobs.release(running)
    jobs.assert_ran_once(running)


def test_a_worker_that_lost_its_registration_drains_and_leaves_its_successor_alone(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    running = jobs.begin()
    first = fresh_deployment.agent
    network.refuse()
    first.wait_for_log("can't send a heartbeat")
    second = fresh_deployment.start_agent(
        ATTUNE__DATABASE__URL=fresh_deployment.database_url,
        ATTUNE__WORKER__HOST="second",
        ATTUNE__WORKER__HEARTBEAT_INTERVAL="40",  # none that would repair what the first one breaks
    )
    assert fresh_deployment.execution(running).status == "abandoned"
    network.accept()
    first.wait_for_log("another process has taken over this worker's name")
    jobs.release(running)
    assert first.wait() == 1
    row = fresh_deployment.one("SELECT status::text, host FROM worker")
    assert row == {"status": "active", "host": "second"}
    assert [m.payload["status"] for m in jobs.completions(running)] == ["Abandoned"]
    assert second.running


@pytest.mark.parametrize("code", ["53100", "40001", "57014"], ids=["disk full", "conflict", "cancelled statement"])
def test_a_result_waits_while_the_database_has_trouble_of_its_own(
    fresh_deployment: Deployment, jobs: Jobs, code: str
) -> None:
    fresh_deployment.start_agent(**ONLY_SHELL)
    refuse(fresh_deployment, code, "NEW.status = 'completed'")
    execution_id = jobs.begin(jobs.QUICK)
    until(lambda: spooled(fresh_deployment), "keeping the result on disk")
    assert fresh_deployment.execution(execution_id).status == "running"
    fresh_deployment.all("DROP TRIGGER refuse ON execution")
    assert jobs.assert_ran_once(execution_id).result["stdout"] == "quick\n"
    assert spooled(fresh_deployment) == []


def test_a_result_that_the_database_refuses_ends_its_execution_and_holds_no_other_up(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    fresh_deployment.start_agent(**ONLY_SHELL)
    refused = jobs.begin()
    refuse(fresh_deployment, "22023", f"NEW.id = {refused} AND NEW.status = 'completed'")
    jobs.release(refused)
    others = [fresh_deployment.start(jobs.QUICK) for _ in range(5)]
    for execution_id in others:
        jobs.assert_ran_once(execution_id)
    row = fresh_deployment.wait(refused)
    assert row.status == "failed"
    assert "the result could not be stored" in row.result["error"]
    assert [m.payload["status"] for m in jobs.completions(refused)] == ["Failed"]


def refuse(deployment: Deployment, code: str, condition: str) -> None:
    """Have the server refuse what ends an execution, with an error code."""
    deployment.all(
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.status IN ('completed', 'failed') AND {condition} THEN RAISE EXCEPTION 'no' USING ERRCODE = '{code}';"
        f" END IF; RETURN NEW; END $$"
    )
    deployment.all("CREATE TRIGGER refuse BEFORE UPDATE ON execution FOR EACH ROW EXECUTE FUNCTION refuse()")


def end_sessions(deployment: Deployment) -> None:
    deployment.all(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'attune-agent%'"
    )


def lock_holders(deployment: Deployment) -> int:
    """Count who holds the worker's name: that lock is exclusive, those of other sessions are shared."""
    return len(
        deployment.all(
            "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted"
            "   AND a.datname = current_database() AND a.application_name LIKE 'attune-agent%'"
        )
    )


def status(deployment: Deployment) -> str:
    return str(deployment.one("SELECT status::text FROM worker")["status"])


def test_results_are_kept_on_disk_while_the_database_is_silent_so_that_not_even_a_kill_loses_them(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    running = [jobs.begin(), jobs.begin()]
    network.pause()
    jobs.release()
    until(lambda: len(spooled(fresh_deployment)) == 2, "keeping the results on disk")
    fresh_deployment.agent.kill()
    network.accept()
    fresh_deployment.start_agent()
    for execution_id in running:
        assert jobs.assert_ran_once(execution_id).result["stdout"] == "released\n"
    assert not list(fresh_deployment.artifacts.glob(".attune-spool-*/*"))


def test_a_drain_keeps_its_deadline_although_the_database_is_silent(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    running = jobs.begin()
    network.pause()
    jobs.release(running)
    until(jobs.ended, "the end of the job")
    assert fresh_deployment.agent.stop(timeout=9 + 12) == 75  # the fixture's shutdown_timeout, and a busy machine
    assert len(spooled(fresh_deployment)) == 1
    network.accept()
    fresh_deployment.start_agent()
    jobs.assert_ran_once(running)


def test_leaving_with_a_claim_in_doubt_is_no_success(fresh_deployment: Deployment, jobs: Jobs, network: Proxy) -> None:
    network.hold_after(0)
    network.inject(CLAIM, "lose answer")
    execution_id = fresh_deployment.start(jobs.QUICK)
    network.wait_for_faults()
    until(lambda: fresh_deployment.execution(execution_id).status == "running", "the claim that nobody heard of")
    assert fresh_deployment.agent.stop() == 75
    network.accept()
    fresh_deployment.start_agent()
    row = fresh_deployment.wait(execution_id)
    assert row.status == "abandoned"
    assert [m.payload["status"] for m in jobs.completions(execution_id)] == ["Abandoned"]
    assert jobs.starts(execution_id) == []


def test_a_claim_in_doubt_is_undone_by_a_drain_and_made_again_by_the_next_life(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    network.hold_after(0)
    network.inject(CLAIM, "lose answer")
    execution_id = fresh_deployment.start(jobs.QUICK)
    network.wait_for_faults()
    agent = fresh_deployment.agent
    agent.process.terminate()
    until(lambda: network.held, "the attempt to connect again")
    network.accept()
    assert agent.wait() == 0
    assert fresh_deployment.execution(execution_id).status == "scheduled"
    fresh_deployment.start_agent()
    jobs.assert_ran_once(execution_id)
