"""Processes that an action leaves behind: they neither delay its end nor outlive it (promise: no process is left)."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.children.processes import wait_until_gone
from tests.services.brokers import until
from tests.services.deployment import Deployment

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

_NUMBERS = itertools.count()

#: Leaves the group, the session and the parent, as daemons do.
DAEMON = f"""#!{sys.executable} -SE
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
open(sys.argv[1], "w").write(str(os.getpid()))
for fd in (0, 1, 2): os.close(fd)
time.sleep(600)
"""


def register(deployment: Deployment, script: str, **columns: object) -> str:
    """Register an action that nobody else uses; return its ref."""
    ref = f"leftovers.action_{next(_NUMBERS)}"
    deployment.add_action(ref, script, **columns)
    return ref


def pid_in(path: Path) -> str:
    """The process id that a script wrote."""
    until(lambda: path.exists() and path.read_text().strip())
    return path.read_text().strip()


def gone(pid: str) -> Callable[[str, str], bool]:
    """For ``wait_until_gone``: the process with this id."""
    return lambda found, _: found == pid


@pytest.fixture
def pid_file(deployment: Deployment) -> Path:
    """Where a script writes the id of what it leaves behind."""
    return deployment.directory / f"pid-{next(_NUMBERS)}"


def test_a_background_process_that_holds_the_pipe_delays_the_end_by_two_seconds_at_most(
    deployment: Deployment, pid_file: Path
) -> None:
    done = deployment.run(register(deployment, f"echo begun; sleep 600 & echo $! > {pid_file}; echo done\n"))
    assert (done.status, done.result["stdout"]) == ("completed", "begun\ndone\n")
    assert 1900 <= done.result["duration_ms"] < 5000
    assert wait_until_gone(gone(pid_in(pid_file)), 0) == []


def test_what_a_background_process_still_writes_meanwhile_is_kept(deployment: Deployment) -> None:
    done = deployment.run(register(deployment, "(sleep 0.3; echo late) & echo early\n"))
    assert done.result["stdout"] == "early\nlate\n"
    assert done.result["duration_ms"] < 1900


def test_a_quiet_background_process_delays_nothing_and_is_killed(deployment: Deployment, pid_file: Path) -> None:
    script = f"sleep 600 > /dev/null 2>&1 & echo $! > {pid_file}\n"
    done = deployment.run(register(deployment, script))
    assert (done.status, done.result["duration_ms"] < 1500) == ("completed", True)
    assert wait_until_gone(gone(pid_in(pid_file)), 0) == []


@pytest.mark.parametrize("end", ["exit 0", "exit 1", "kill -KILL $$"])
def test_a_daemon_that_left_group_and_session_is_killed(deployment: Deployment, pid_file: Path, end: str) -> None:
    deployment.add_pack("leftovers")
    daemon = deployment.write("leftovers", "lib/daemon", DAEMON)
    script = f"{daemon} {pid_file}; until [ -s {pid_file} ]; do sleep 0.01; done; {end}\n"
    done = deployment.run(register(deployment, script))
    assert done.status == ("completed" if end == "exit 0" else "failed")
    # The row is written after the slot's processes are gone.
    assert wait_until_gone(gone(pid_in(pid_file)), 0) == []


def test_a_daemon_is_killed_when_its_execution_runs_out_of_time(deployment: Deployment, pid_file: Path) -> None:
    deployment.add_pack("leftovers")
    daemon = deployment.write("leftovers", "lib/daemon", DAEMON)
    done = deployment.run(register(deployment, f"{daemon} {pid_file}; sleep 600\n", timeout_seconds=1))
    assert done.result["cause"] == "timeout"
    assert wait_until_gone(gone(pid_in(pid_file)), 0) == []


def test_a_cancellation_reaches_grandchildren_that_hold_the_pipe(deployment: Deployment, pid_file: Path) -> None:
    execution_id = deployment.start(
        register(deployment, f"bash -c 'echo $$ > {pid_file}; sleep 600; echo no' & wait; echo no\n")
    )
    pid = pid_in(pid_file)
    deployment.cancel(execution_id)
    done = deployment.wait(execution_id)
    assert done.status == "cancelled"
    assert "stdout" not in done.result
    assert wait_until_gone(gone(pid), 0) == []


def test_the_processes_of_other_executions_are_spared(deployment: Deployment, pid_file: Path) -> None:
    gate = deployment.directory / f"gate-{pid_file.name}"
    deployment.add_pack("leftovers")
    daemon = deployment.write("leftovers", "lib/daemon", DAEMON)
    script = (
        f"{daemon} {pid_file}; until [ -e {gate} ]; do sleep 0.02; done; kill -0 $(cat {pid_file}) && echo spared\n"
    )
    patient = deployment.start(register(deployment, script))
    pid_in(pid_file)
    other = deployment.directory / f"other-{pid_file.name}"
    deployment.run(register(deployment, f"{daemon} {other}; until [ -s {other} ]; do sleep 0.01; done\n"))
    assert wait_until_gone(gone(pid_in(other)), 0) == []
    gate.touch()
    assert deployment.wait(patient).result["stdout"] == "spared\n"


def test_no_zombie_stays(deployment: Deployment) -> None:
    ref = register(deployment, "(sleep 0.01 &) ; (setsid sleep 0.01 &) ; exit 0\n")
    for execution_id in [deployment.start(ref) for _ in range(8)]:
        deployment.wait(execution_id)
    until(lambda: not _zombies_of(deployment.agent.pid))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into an agent that is not dumpable")
def test_no_descriptor_is_lost(deployment: Deployment) -> None:
    ref = register(deployment, "echo out; echo err >&2; sleep 600 > /dev/null 2>&1 &\n", parameter_delivery="file")
    deployment.run(ref)
    before = len(os.listdir(f"/proc/{deployment.agent.pid}/fd"))
    for execution_id in [deployment.start(ref) for _ in range(20)]:
        deployment.wait(execution_id)
    assert len(os.listdir(f"/proc/{deployment.agent.pid}/fd")) <= before + 4  # as many as may still be closing


def _zombies_of(pid: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state == "Z" and parent == str(pid):
            found.append(stat.parent.name)
    return found


def test_what_drops_its_environment_is_gone_with_its_execution_and_everybody_else_is_spared(
    deployment: Deployment, pid_file: Path
) -> None:
    cleared = f"#!/bin/sh\nenv -i setsid sh -c 'echo $$ > $0; exec sleep 600' {pid_file} >/dev/null 2>&1 &\n"
    operators = subprocess.Popen(["sleep", "60"], env={})
    traces = deployment.directory / "neighbour"
    neighbour = deployment.start(
        register(
            deployment,
            f"#!/bin/sh\nenv -i setsid sh -c 'echo $$ > $0; exec sleep 600' {traces} >/dev/null 2>&1 &\n"
            f"while [ ! -e {traces}.done ]; do sleep 0.03; done\n",
        )
    )
    neighbours = pid_in(traces)
    deployment.run(register(deployment, cleared + f"while [ ! -s {pid_file} ]; do sleep 0.03; done\n"))
    assert not wait_until_gone(gone(pid_in(pid_file)))
    assert operators.poll() is None
    assert Path(f"/proc/{neighbours}").exists(), "another slot's process was killed"
    Path(f"{traces}.done").touch()
    deployment.wait(neighbour)
    assert not wait_until_gone(gone(neighbours))
    operators.kill()
    operators.wait()
