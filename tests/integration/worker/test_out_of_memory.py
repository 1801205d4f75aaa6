"""The container's memory is used up by a job: the kernel takes the job, its execution says so, the agent works on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.worker.jobs import ONLY_SHELL
from tests.services.control_group import inside, memory_group
from tests.services.deployment import Deployment

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

#: Keeps 400 MB, which is more than there is.
HOG = "head -c 400000000 /dev/zero | tail -c 400000000 > /dev/null"


def test_an_execution_that_the_kernel_kills_for_want_of_memory_says_oom(fresh_deployment: Deployment) -> None:
    deployment = fresh_deployment
    # As a job passes on what became of its child, as the child itself, and as one who doesn't mind.
    deployment.add_action("memory.child", f"set -o pipefail; {HOG}\n")
    deployment.add_action("memory.itself", "exec tail -c 400000000 < <(cat /dev/zero)\n")
    deployment.add_action("memory.careless", f"{HOG}; echo goes on\n")
    deployment.add_action("memory.killed", "kill -KILL $$\n")
    with memory_group(200 << 20) as group:
        agent = deployment.start_agent(through=inside(group), **ONLY_SHELL)
        assert str(agent.pid) in _members(group)
        child, itself, careless, killed = (
            deployment.run(f"memory.{name}") for name in ("child", "itself", "careless", "killed")
        )
        assert (child.status, child.result["cause"]) == ("failed", "oom")
        assert (itself.status, itself.result["cause"]) == ("failed", "oom")
        assert (careless.status, careless.result["stdout"]) == ("completed", "goes on\n")
        # Somebody else's SIGKILL is none of the kernel's doing.
        assert (killed.status, killed.result["cause"], killed.result["signal"]) == ("failed", "signal", "SIGKILL")
        assert str(agent.pid) in _members(group)
        assert agent.stop() == 0


def _members(group: Path) -> list[str]:
    return (group / "cgroup.procs").read_text().split()
