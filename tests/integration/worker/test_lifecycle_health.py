"""What can be asked of a running agent, what it must not leak, and what it does when it is broken itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.worker.jobs import ONLY_SHELL, Jobs
from tests.services.agent_process import ROOT, AgentProcess
from tests.services.availability import unavailable
from tests.services.deployment import Deployment
from tests.services.proxy import broker_proxy, until

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


class Container:
    """A mount namespace of its own, as a container has: only its own agent answers there."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            unavailable("root, to make a mount namespace", "run the tests as root")
        self._keeper = subprocess.Popen(["unshare", "--mount", "sleep", "infinity"])
        ours = os.readlink("/proc/self/ns/mnt")
        until(lambda: os.readlink(f"/proc/{self._keeper.pid}/ns/mnt") != ours, "a namespace")
        self.enter = ["nsenter", f"--mount=/proc/{self._keeper.pid}/ns/mnt", f"--wd={ROOT}", sys.executable]

    def health(self, *words: str) -> tuple[int, str]:
        command = [*self.enter, "-m", "agent", "health", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stderr

    def close(self) -> None:
        self._keeper.kill()
        self._keeper.wait()


@pytest.fixture
def container() -> Iterator[Container]:
    made = Container()
    yield made
    made.close()


def launch(deployment: Deployment, command: list[str], **settings: str) -> AgentProcess:
    """Start an agent by a command line of the test's own and wait until it is active."""
    log = deployment.directory / "launched.log"
    environment = deployment.environment | ONLY_SHELL | settings | {"ATTUNE_WORKER_NAME": "worker-1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    agent = AgentProcess("worker-1", process, log)
    deployment.agents.append(agent)
    deployment.wait_active(agent)
    return agent


def test_an_agent_is_ready_while_the_broker_delivers_and_live_all_the_time(
    fresh_deployment: Deployment, jobs: Jobs, container: Container
) -> None:
    nobody = (1, "attune-agent: no agent runs in this container\n")
    unready = "attune-agent: the agent is not ready: "

    def is_unready(why: str) -> bool:
        code, text = container.health()
        return code == 1 and text.startswith(unready + why)

    assert (container.health(), container.health("--live")) == (nobody, nobody)
    with broker_proxy(fresh_deployment.wire.url) as (proxy, url):
        agent = launch(fresh_deployment, [*container.enter, "-m", "agent"], ATTUNE__MESSAGE_QUEUE__URL=url)
        assert (container.health(), container.health("--live")) == ((0, ""), (0, ""))
        proxy.refuse()
        until(lambda: is_unready("the broker does not deliver "), "the loss of readiness")
        assert container.health("--live") == (0, "")
        proxy.accept()
        until(lambda: container.health() == (0, ""), "readiness")
        running = jobs.begin()
        agent.process.terminate()
        until(lambda: is_unready("it stops"), "the drain")
        assert container.health("--live") == (0, "")
        jobs.release(running)
        assert agent.wait() == 0
    assert container.health("--live") == nobody


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
        "agent.execution.recording.coordinator.Coordinator._take_in",
        "agent.worker.slots.Slots._run",
        "agent.worker.handlers.Handlers.dispatch",
        "agent.worker.provisioning.Provisioner.run",
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
    broken = launch(fresh_deployment, [sys.executable, "-c", code], ATTUNE__WORKER__SHUTDOWN_TIMEOUT="9")
    execution_id = fresh_deployment.start(jobs.QUICK)
    (jobs.traces / "break").touch()
    assert broken.wait() == 70
    assert "ZeroDivisionError: a bug" in broken.log()
    assert fresh_deployment.one("SELECT status::text FROM worker")["status"] == "inactive"
    # Nothing is lost by it: the next process runs what was not started and ends what was.
    fresh_deployment.start_agent(**ONLY_SHELL)
    assert fresh_deployment.wait(execution_id).status in ("completed", "abandoned")
