"""A broker that goes away: jobs go on, and each end is told once, even if the agent goes away too.

Promises: commit before publish; outages lose nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.worker.jobs import ONLY_SHELL, Jobs, wait_for_beats
from tests.services.deployment import Deployment
from tests.services.proxy import Proxy, broker_proxy, until
from tests.services.rabbitmq import RabbitNode

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


@pytest.fixture
def network(fresh_deployment: Deployment) -> Iterator[Proxy]:
    """What lies between the broker and the agent, which is started here."""
    with broker_proxy(fresh_deployment.wire.url) as (proxy, url):
        fresh_deployment.settings |= ONLY_SHELL | {
            "ATTUNE__MESSAGE_QUEUE__URL": url,
            "ATTUNE__WORKER__HEARTBEAT_INTERVAL": "0.1",
        }
        fresh_deployment.start_agent()
        yield proxy


def statuses(jobs: Jobs, execution_id: int) -> list[str]:
    return [str(message.payload["status"]) for message in jobs.completions(execution_id)]


def test_a_job_goes_on_while_the_broker_is_away_and_its_end_is_told_once(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    running = jobs.begin()
    fresh_deployment.messages(running, until="ExecutionStatusChanged")
    network.refuse()
    jobs.release(running)
    assert fresh_deployment.wait(running).status == "completed"
    assert [m.kind for m in fresh_deployment.messages(running, until=None)] == ["ExecutionStatusChanged"]
    network.accept()
    jobs.assert_ran_once(running)
    assert fresh_deployment.run(jobs.QUICK).status == "completed"


def test_what_is_dispatched_while_it_is_cut_off_runs_once_it_is_back(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    network.refuse()
    waiting = [fresh_deployment.start(jobs.QUICK) for _ in range(3)]
    network.accept()
    for execution_id in waiting:
        jobs.assert_ran_once(execution_id)


def test_a_cancellation_that_waited_for_the_network_still_ends_the_job(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    running = jobs.begin()
    network.refuse()
    fresh_deployment.cancel(running)
    network.accept()
    assert fresh_deployment.wait(running).status == "cancelled"


def test_a_broker_that_is_restarted_finds_the_worker_consuming_again(
    fresh_deployment: Deployment, jobs: Jobs, rabbit_node: RabbitNode
) -> None:
    fresh_deployment.start_agent(**ONLY_SHELL)
    running = jobs.begin()
    rabbit_node.stop_app()
    try:
        jobs.release(running)
        assert fresh_deployment.wait(running).status == "completed"
        assert fresh_deployment.agent.running
    finally:
        rabbit_node.start_app()
    jobs.assert_ran_once(running)


def test_completions_that_wait_for_the_broker_survive_the_end_of_the_agent(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    running = jobs.begin()
    network.refuse()
    jobs.release(running)
    fresh_deployment.wait(running)
    wait_for_beats(fresh_deployment, 4)
    assert fresh_deployment.agent.stop() == 75  # not everything was reported
    assert fresh_deployment.messages(running, until=None)[-1].payload["new_status"] == "running"
    network.accept()
    fresh_deployment.start_agent()
    assert statuses(jobs, running) == ["Completed"]
    spool = list(fresh_deployment.artifacts.glob(".attune-spool-*/*"))
    until(lambda: not any(path.exists() for path in spool), "the removal of the note")


def test_completions_that_wait_for_the_broker_survive_a_crash_and_a_start_in_vain(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    running = jobs.begin()
    network.refuse()
    jobs.release(running)
    fresh_deployment.wait(running)
    wait_for_beats(fresh_deployment, 4)
    fresh_deployment.agent.kill()
    in_vain = fresh_deployment.start_agent(wait=False)
    assert in_vain.wait() == 4
    assert "attune-agent: RabbitMQ at 127.0.0.1" in in_vain.log()
    network.accept()
    fresh_deployment.start_agent()
    assert statuses(jobs, running) == ["Completed"]


def test_a_start_in_vain_does_not_hide_what_a_crash_has_left_unannounced(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    fresh_deployment.agent.stop()
    fresh_deployment.settings["ATTUNE__WORKER__HEARTBEAT_INTERVAL"] = "30"  # none comes before the crash
    fresh_deployment.start_agent()
    running = jobs.begin()
    network.refuse()
    jobs.release(running)
    fresh_deployment.wait(running)
    fresh_deployment.agent.kill()
    with fresh_deployment.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")  # keeps the trigger from setting `updated`
        connection.execute("UPDATE execution SET updated = updated - interval '1 h' WHERE id = %s", [running])
        connection.execute("UPDATE worker SET last_heartbeat = last_heartbeat - interval '1 h'")
    assert fresh_deployment.start_agent(wait=False).wait() == 4
    network.accept()
    fresh_deployment.start_agent()
    assert statuses(jobs, running) == ["Completed"]


def test_a_broker_that_resets_each_connection_is_one_that_is_away(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    running = jobs.begin()
    network.reset()
    before = network.accepted
    jobs.release(running)
    fresh_deployment.wait(running)
    until(lambda: network.accepted > before + 20, "attempts to connect")
    assert fresh_deployment.agent.running
    network.accept()
    jobs.assert_ran_once(running)


def test_completions_survive_a_crash_although_nothing_about_them_is_on_disk(
    fresh_deployment: Deployment, jobs: Jobs, network: Proxy
) -> None:
    running = [jobs.begin(), jobs.begin()]
    network.refuse()
    jobs.release()
    for execution_id in running:
        fresh_deployment.wait(execution_id)
    wait_for_beats(fresh_deployment, 5)
    assert not list(fresh_deployment.artifacts.glob(".attune-spool-*/*")), "as on a full disk"
    fresh_deployment.agent.kill()
    network.accept()
    fresh_deployment.start_agent()
    for execution_id in running:
        assert statuses(jobs, execution_id) == ["Completed"]
