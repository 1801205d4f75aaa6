"""What can be asked of a running agent, what it must not leak, and what it does when it is broken itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.presence.health_socket import ask
from tests.integration.worker.jobs import ONLY_SHELL, Jobs
from tests.services.agent_process import ROOT, AgentProcess
from tests.services.deployment import Deployment
from tests.services.proxy import broker_proxy, until

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


def health(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent", "health", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def test_an_agent_is_ready_while_the_broker_delivers_and_live_all_the_time(
    fresh_deployment: Deployment, jobs: Jobs
) -> None:
    assert (health().returncode, health("--live").returncode) == (1, 1)
    with broker_proxy(fresh_deployment.wire.url) as (proxy, url):
        agent = fresh_deployment.start_agent(ATTUNE__MESSAGE_QUEUE__URL=url, **ONLY_SHELL)
        assert (health().returncode, health("--live").returncode) == (0, 0)
        proxy.refuse()
        until(lambda: ask("ready", 5) is not None, "the loss of readiness")
        assert ask("live", 5) is None
        asked = health()
        assert asked.returncode == 1
        assert asked.stderr == "attune-agent: the agent is not ready\n"
        proxy.accept()
        until(lambda: ask("ready", 5) is None, "readiness")
        running = jobs.begin()
        agent.process.terminate()
        until(lambda: ask("ready", 5) is not None, "the drain")
        assert ask("live", 5) is None
        jobs.release(running)
        assert agent.wait() == 0
    assert ask("live", 1) == "no agent runs in this container"


def test_descriptors_threads_and_children_stay_as_many_as_they_were(fresh_deployment: Deployment, jobs: Jobs) -> None:
    agent = fresh_deployment.start_agent(**ONLY_SHELL)

    def spend(count: int) -> tuple[int, int]:
        executions = [fresh_deployment.schedule(jobs.QUICK) for _ in range(count)]
        for execution_id in executions:
            fresh_deployment.dispatch(execution_id)
            fresh_deployment.dispatch(execution_id)
        for execution_id in executions:
            assert fresh_deployment.wait(execution_id).status == "completed"
        fresh_deployment.messages(executions[-1])
        process = Path(f"/proc/{agent.pid}")
        until(lambda: not _children(agent), "the end of all children")
        return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))

    before = spend(20)
    assert spend(200) == before


def _children(agent: AgentProcess) -> list[str]:
    return Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()


@pytest.mark.parametrize(
    "part",
    [
        "agent.presence.heartbeat.Heartbeat.run",
        "agent.execution.ledger.Ledger._take_in",
        "agent.worker.slots.Slots._run",
        "agent.worker.handlers.Handlers.dispatch",
        "agent.worker.setup.Setup.run",
    ],
)
def test_a_thread_that_dies_of_a_bug_stops_the_service_which_says_so(
    fresh_deployment: Deployment, jobs: Jobs, part: str
) -> None:
    module, cls, method = part.rsplit(".", 2)
    # The method fails as soon as the worker has become active and a dispatch has come.
    code = (
        f"import os, threading, {module}\n"
        f"original = {module}.{cls}.{method}\n"
        "def broken(self, *arguments):\n"
        f"    if {method!r} in ('run', '_run', '_take_in'):\n"
        f"        while not os.path.exists({str(jobs.traces / 'break')!r}): threading.Event().wait(0.02)\n"
        "    raise ZeroDivisionError('a bug')\n"
        f"{module}.{cls}.{method} = broken\n"
        "from agent.cli.main import agent; agent()"
    )
    log = fresh_deployment.directory / "broken.log"
    with log.open("wb") as output:
        settings = fresh_deployment.environment | ONLY_SHELL
        settings |= {"ATTUNE_WORKER_NAME": "worker-1", "ATTUNE__WORKER__SHUTDOWN_TIMEOUT": "9"}
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=settings, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    broken = AgentProcess("worker-1", process, log)
    fresh_deployment.agents.append(broken)
    fresh_deployment.wait_active(broken)
    execution_id = fresh_deployment.start(jobs.QUICK)
    (jobs.traces / "break").touch()
    assert broken.wait() == 70
    assert "ZeroDivisionError: a bug" in broken.log()
    assert fresh_deployment.one("SELECT status::text FROM worker")["status"] == "inactive"
    # Nothing is lost by it: the next life runs what was not started and ends what was.
    fresh_deployment.start_agent(**ONLY_SHELL)
    assert fresh_deployment.wait(execution_id).status in ("completed", "abandoned")
