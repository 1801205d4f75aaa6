"""How a worker leaves: what runs may finish, the rest is cut and reported, nothing unstarted is lost.

Promises: drain before exit; unstarted work is handed back.
"""

from __future__ import annotations

import signal
import time
from typing import Any, ClassVar

import pika.exceptions
import pytest

from agent.mq import topology
from agent.process.stop_signals import TOGETHER
from tests.integration.worker.jobs import ONLY_SHELL, Jobs, gone, wait_for_beats
from tests.services.deployment import Deployment
from tests.services.proxy import until

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

#: One second for running jobs; the other eight are kept to kill and to report.
HASTY: dict[str, Any] = {"ATTUNE__WORKER__SHUTDOWN_TIMEOUT": "9", **ONLY_SHELL}


def status(deployment: Deployment) -> str:
    return str(deployment.one("SELECT status::text FROM worker WHERE name = 'worker-1'")["status"])


def wait_draining(deployment: Deployment) -> None:
    until(lambda: status(deployment) == "busy", "the drain")


def test_a_job_that_ends_in_time_completes_and_the_worker_is_busy_meanwhile(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    agent = fresh_deployment.start_agent(**ONLY_SHELL)
    running = jobs.begin()
    agent.signal(signal.SIGTERM)
    wait_draining(fresh_deployment)
    jobs.release(running)
    assert agent.wait() == 0
    row = fresh_deployment.execution(running)
    assert (row.status, row.result["stdout"]) == ("completed", "released\n")
    assert [m.payload.get("status") for m in fresh_deployment.messages(running)][-1] == "Completed"
    assert status(fresh_deployment) == "inactive"


def test_inactive_is_the_last_write_after_every_result(fresh_deployment: Deployment, jobs: Jobs) -> None:
    fresh_deployment.all("CREATE TABLE trail (id serial, what text)")
    for table in ("worker", "execution"):
        fresh_deployment.all(
            f"CREATE FUNCTION trail_{table}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN INSERT INTO attune.trail (what) VALUES ('{table} ' || NEW.status); RETURN NEW; END $$"
        )
        fresh_deployment.all(
            f"CREATE TRIGGER trail AFTER UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION trail_{table}()"
        )
    agent = fresh_deployment.start_agent(**ONLY_SHELL)
    running = jobs.begin()
    agent.signal(signal.SIGTERM)
    wait_draining(fresh_deployment)
    jobs.release(running)
    assert agent.wait() == 0
    trail = [row["what"] for row in fresh_deployment.all("SELECT what FROM trail ORDER BY id")]
    steps = [what for number, what in enumerate(trail) if number == 0 or trail[number - 1] != what]
    assert steps[steps.index("worker active") :] == [
        "worker active",
        "execution scheduling",
        "execution scheduled",
        "execution running",
        "worker busy",
        "execution completed",
        "worker inactive",
    ]


def test_the_heartbeat_goes_on_while_draining(fresh_deployment: Deployment, jobs: Jobs) -> None:
    agent = fresh_deployment.start_agent(ATTUNE__WORKER__HEARTBEAT_INTERVAL="0.1", **ONLY_SHELL)
    running = jobs.begin()
    agent.signal(signal.SIGTERM)
    wait_draining(fresh_deployment)
    wait_for_beats(fresh_deployment, 3)
    assert status(fresh_deployment) == "busy"
    jobs.release(running)
    assert agent.wait() == 0


def test_a_job_longer_than_the_budget_is_cut_short_with_its_whole_group(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    agent = fresh_deployment.start_agent(**HASTY)
    running = jobs.begin()
    (pid,) = jobs.starts(running)
    began = time.monotonic()
    assert agent.stop() == 0
    assert time.monotonic() - began > 0.9
    row = fresh_deployment.execution(running)
    assert (row.status, row.result["cause"], row.result["succeeded"]) == ("abandoned", "shutdown", False)
    assert gone(pid)
    sent = fresh_deployment.messages(running)
    assert [(m.kind, m.payload.get("new_status") or m.payload.get("status")) for m in sent] == [
        ("ExecutionStatusChanged", "running"),
        ("ExecutionStatusChanged", "abandoned"),
        ("ExecutionCompleted", "Abandoned"),
    ]


def test_a_job_that_ignores_the_interrupt_is_killed_within_the_reserve(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    agent = fresh_deployment.start_agent(**HASTY | {"ATTUNE__WORKER__SHUTDOWN_TIMEOUT": "8"})
    running = jobs.begin(jobs.STUBBORN)
    (pid,) = jobs.starts(running)
    began = time.monotonic()
    assert agent.stop() == 0
    assert time.monotonic() - began > 4.5
    row = fresh_deployment.execution(running)
    assert (row.status, row.result["cause"], row.result["signal"]) == ("abandoned", "shutdown", "SIGKILL")
    assert gone(pid)


def test_a_second_signal_skips_the_wait(fresh_deployment: Deployment, jobs: Jobs) -> None:
    agent = fresh_deployment.start_agent(**ONLY_SHELL | {"ATTUNE__WORKER__SHUTDOWN_TIMEOUT": "600"})
    running = jobs.begin()
    (pid,) = jobs.starts(running)
    agent.signal(signal.SIGTERM)
    wait_draining(fresh_deployment)
    time.sleep(TOGETHER)  # a signal that comes sooner is part of the first request
    agent.signal(signal.SIGINT)
    assert agent.wait() == 75
    row = fresh_deployment.execution(running)
    assert (row.status, row.result["cause"]) == ("abandoned", "shutdown")
    assert gone(pid)
    assert status(fresh_deployment) == "inactive"


@pytest.mark.parametrize("fresh_deployment", ["rabbitmq", "database"], indirect=True)
def test_unclaimed_dispatches_wait_in_the_queue_for_the_next_start(fresh_deployment: Deployment, jobs: Jobs) -> None:
    agent = fresh_deployment.start_agent(ATTUNE__WORKER__MAX_CONCURRENT_TASKS="1", **ONLY_SHELL)
    queue = topology.executions_queue(agent.worker_id).name
    running = jobs.begin()
    waiting = [fresh_deployment.start(jobs.GATE) for _ in range(6)]  # three are prefetched, three stay in the queue
    until(lambda: fresh_deployment.wire.depth(queue) == 3, "the delivery of as many as are prefetched")
    agent.signal(signal.SIGTERM)
    until(lambda: fresh_deployment.wire.depth(queue) == 6, "the return of what was prefetched")
    late = fresh_deployment.start(jobs.GATE)
    until(lambda: fresh_deployment.wire.depth(queue) == 7, "the arrival of one more")
    jobs.release(running)
    assert agent.wait() == 0
    assert fresh_deployment.execution(running).status == "completed"
    for execution_id in (*waiting, late):
        assert (jobs.starts(execution_id), fresh_deployment.execution(execution_id).status) == ([], "scheduled")
    jobs.release()
    fresh_deployment.start_agent(**ONLY_SHELL)
    for execution_id in (*waiting, late):
        jobs.assert_ran_once(execution_id)


def test_a_worker_that_is_told_to_stop_while_it_starts_leaves_in_order(fresh_deployment: Deployment) -> None:
    agent = fresh_deployment.start_agent(wait=False, **ONLY_SHELL)
    until(lambda: fresh_deployment.all("SELECT 1 FROM worker"), "the registration")
    assert agent.stop() == 0
    assert status(fresh_deployment) == "inactive"


class TestEphemeral:
    """A worker whose name never returns."""

    SETTINGS: ClassVar[dict[str, Any]] = {
        "ATTUNE__WORKER__EPHEMERAL": "true",
        "ATTUNE__WORKER__MAX_CONCURRENT_TASKS": "1",
        **ONLY_SHELL,
    }

    @pytest.mark.parametrize("fresh_deployment", ["rabbitmq", "database"], indirect=True)
    def test_unstarted_work_is_handed_back_and_the_queues_go(self, fresh_deployment: Deployment, jobs: Jobs) -> None:
        deployment = fresh_deployment
        other = deployment.start_agent("other", **ONLY_SHELL)
        leaving = deployment.start_agent("worker-1", **self.SETTINGS)
        running = jobs.begin()
        waiting = [deployment.start(jobs.GATE, {"n": number}) for number in range(5)]
        leaving.signal(signal.SIGTERM)
        until(lambda: all(deployment.execution(id_).status == "requested" for id_ in waiting), "the hand-back")
        jobs.release(running)
        assert leaving.wait() == 0
        assert deployment.execution(running).status == "completed"
        for number, execution_id in enumerate(waiting):
            row = deployment.execution(execution_id)
            assert (row.status, row.worker, jobs.starts(execution_id)) == ("requested", None, [])
            (message,) = deployment.messages(execution_id, until="ExecutionRequested")
            assert message.routing_key == "execution.requested"
            assert message.payload == {
                "execution_id": execution_id,
                "action_id": row.action,
                "action_ref": jobs.GATE,
                "parent_id": None,
                "enforcement_id": None,
                "config": {"n": number},
            }
        for worker, queues in ((leaving, 0), (other, 3)):
            assert sum(_exists(deployment, queue) for queue in topology.owned_queues(worker.worker_id)) == queues
        assert status(deployment) == "inactive"

    def test_what_is_scheduled_while_it_drains_is_handed_back_too(
        self, fresh_deployment: Deployment, jobs: Jobs
    ) -> None:
        fresh_deployment.start_agent("other", **ONLY_SHELL)
        leaving = fresh_deployment.start_agent("worker-1", **self.SETTINGS)
        running = jobs.begin()
        early = fresh_deployment.start(jobs.GATE)
        leaving.signal(signal.SIGTERM)
        until(lambda: fresh_deployment.execution(early).status == "requested", "the hand-back")
        late = fresh_deployment.start(jobs.GATE)  # by an executor that read the row before it said busy
        jobs.release(running)
        assert leaving.wait() == 0
        assert fresh_deployment.execution(late).status == "requested"
        assert fresh_deployment.messages(late, until="ExecutionRequested")

    @pytest.mark.parametrize("others", ["none", "cordoned", "silent"])
    def test_the_last_worker_leaves_them_in_its_queue(
        self, fresh_deployment: Deployment, jobs: Jobs, others: str
    ) -> None:
        if others != "none":
            fresh_deployment.all(
                "INSERT INTO worker (name, worker_type, worker_role, status, cordoned, last_heartbeat)"
                " VALUES ('other', 'local', 'action', 'active', %s, now() - %s::interval)",
                [others == "cordoned", "0 s" if others == "cordoned" else "100 s"],
            )
        leaving = fresh_deployment.start_agent("worker-1", **self.SETTINGS)
        running = jobs.begin()
        waiting = [fresh_deployment.start(jobs.GATE) for _ in range(4)]
        queue = topology.executions_queue(leaving.worker_id).name
        until(lambda: fresh_deployment.wire.depth(queue) == 1, "the delivery of as many as are prefetched")
        leaving.signal(signal.SIGTERM)
        leaving.wait_for_log("draining: 1 executions are running")
        jobs.release()
        assert leaving.wait() == 0
        assert fresh_deployment.execution(running).status == "completed"
        assert [fresh_deployment.execution(id_).status for id_ in waiting] == ["scheduled"] * 4
        assert fresh_deployment.wire.depth(queue) == 4


def _exists(deployment: Deployment, queue: str) -> bool:
    if deployment.wire.kind == "database":
        return bool(deployment.all("SELECT 1 FROM mq_queue WHERE name = %s", [queue]))
    try:
        deployment.wire.depth(queue)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    return True
