"""What a careless parent leaves to the agent: ignored and blocked signals, closed streams. It starts all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.agent_process import ROOT, AgentProcess, own_environment
from tests.services.deployment import Deployment

AGENT = [sys.executable, "-m", "agent"]


def ignore_children() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def block_all_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def close_all_streams() -> None:
    for fd in (0, 1, 2):
        os.close(fd)


def close_stderr() -> None:
    os.close(2)


@pytest.mark.parametrize("prepare", [ignore_children, block_all_signals, close_stderr])
def test_interpreters_are_found_whatever_was_inherited(prepare: Callable[[], None]) -> None:
    done = subprocess.run(
        [*AGENT, "--detect-only", "--json"],
        preexec_fn=prepare,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=own_environment(),
        check=False,
    )
    assert done.returncode == 0
    assert b"shell" in done.stdout


def test_a_complaint_that_nobody_can_hear_still_has_its_exit_code() -> None:
    done = subprocess.run(
        [*AGENT, "--name", "nobody"], preexec_fn=close_all_streams, cwd=ROOT, env=own_environment(), check=False
    )
    assert done.returncode == 2  # no broker is configured


@pytest.mark.postgres
@pytest.mark.rabbitmq
@pytest.mark.parametrize("prepare", [ignore_children, block_all_signals, close_all_streams])
def test_a_worker_runs_and_drains_whatever_was_inherited(
    fresh_deployment: Deployment, prepare: Callable[[], None], tmp_path: Path
) -> None:
    fresh_deployment.add_action("job.hello", "#!/bin/sh\necho hello\n")
    with (tmp_path / "log").open("ab") as log:
        process = subprocess.Popen(
            [*AGENT, "--name", "worker-1"],
            preexec_fn=prepare,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=fresh_deployment.environment | {"ATTUNE_WORKER_RUNTIMES": "shell"},
        )
    agent = AgentProcess("worker-1", process, tmp_path / "log")
    fresh_deployment.agents.append(agent)
    fresh_deployment.wait_active(agent)
    assert fresh_deployment.run("job.hello").result["stdout"] == "hello\n"
    assert agent.stop() == 0
