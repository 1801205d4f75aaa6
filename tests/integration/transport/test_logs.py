"""Logs that go over HTTP: live while they grow, whole when the execution has ended, through every outage."""

from __future__ import annotations

import signal
import uuid
from pathlib import Path

import pytest

from tests.integration.transport.conftest import Apart
from tests.services.agent_process import AgentProcess
from tests.services.waiting import until

pytestmark = [pytest.mark.postgres]


@pytest.fixture(scope="module")
def agent(apart: Apart) -> AgentProcess:
    return apart.start_agent("logs")


@pytest.fixture
def pack() -> str:
    return f"p{uuid.uuid4().hex[:8]}"


def log_of(apart: Apart, execution: int, stream: str = "stdout") -> Path:
    """The file that the version of an execution names."""
    row = apart.deployment.one(
        "SELECT file_path, size_bytes FROM artifact_version WHERE execution = %s AND meta ->> 'stream' = %s",
        [execution, stream],
    )
    path = apart.deployment.artifacts / row["file_path"]
    if path.exists():
        assert path.stat().st_size == row["size_bytes"]
    return path


def live(apart: Apart, execution: int) -> Path:
    return apart.deployment.artifacts / f"execution_{execution}" / "stdout.log"


def left_here(apart: Apart, name: str) -> list[str]:
    """What an agent keeps of logs on its own disk."""
    return sorted(path.name for path in (apart.place(name) / "artifacts").glob("execution_*/*"))


def test_a_log_is_whole_at_the_server_when_its_execution_has_ended(
    apart: Apart, agent: AgentProcess, pack: str
) -> None:
    apart.add_action(f"{pack}.both", "echo out; echo err >&2")
    done = apart.deployment.run(f"{pack}.both")
    assert done.status == "completed", (done.result, agent.log()[-3000:])
    assert log_of(apart, done.id).read_text() == "out\n"
    assert log_of(apart, done.id, "stderr").exists(), agent.log()[-3000:]
    assert log_of(apart, done.id, "stderr").read_text() == "err\n"
    assert live(apart, done.id).read_text() == "out\n"
    until(lambda: left_here(apart, "logs") == [], "an empty disk")


def test_lines_are_at_the_server_while_the_execution_goes_on(
    apart: Apart, agent: AgentProcess, pack: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    script = f"echo first; while [ ! -e {gate} ]; do sleep 0.05; done; head -c 300000 /dev/zero | tr '\\0' x; echo last"
    apart.add_action(f"{pack}.slow", script)
    running = apart.deployment.start(f"{pack}.slow")
    until(lambda: live(apart, running).exists() and live(apart, running).read_text() == "first\n", "the first line")
    gate.touch()
    done = apart.deployment.wait(running)
    assert done.status == "completed"
    assert log_of(apart, running).read_bytes() == b"first\n" + b"x" * 300_000 + b"last\n"
    assert live(apart, running).is_symlink()


def test_a_server_that_goes_and_comes_back_gets_what_it_missed(
    apart: Apart, agent: AgentProcess, pack: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    script = f"echo one; while [ ! -e {gate} ]; do sleep 0.05; done; seq 1 20000"
    apart.add_action(f"{pack}.slow", script)
    running = apart.deployment.start(f"{pack}.slow")
    until(lambda: live(apart, running).exists() and live(apart, running).read_text() == "one\n", "the first line")
    apart.stop_server()
    try:
        gate.touch()
        done = apart.deployment.wait(running)
        assert done.status == "completed"
        assert not log_of(apart, running).exists()
        assert live(apart, running).read_text() == "one\n"
    finally:
        apart.restart_server()
    until(log_of(apart, running).exists, "the rest of the log")
    assert log_of(apart, running).read_text() == "one\n" + "".join(f"{number}\n" for number in range(1, 20_001))
    until(lambda: left_here(apart, "logs") == [], "an empty disk")


def test_what_a_worker_could_not_send_its_next_life_sends(apart: Apart, pack: str) -> None:
    apart.add_action(f"{pack}.hello", "echo hello")
    first = apart.start_agent("lives")
    apart.deployment.run(f"{pack}.hello")
    apart.stop_server()
    try:
        done = apart.deployment.run(f"{pack}.hello")
        assert first.stop() == 0
        assert left_here(apart, "lives") == ["stdout.log", "stdout.upload"]
    finally:
        apart.restart_server()
    second = apart.start_agent("lives")
    until(log_of(apart, done.id).exists, "the log")
    assert log_of(apart, done.id).read_text() == "hello\n"
    until(lambda: left_here(apart, "lives") == [], "an empty disk")
    second.stop()


def test_the_log_of_a_worker_that_was_killed_is_sent_by_the_next_one(apart: Apart, pack: str, tmp_path: Path) -> None:
    apart.add_action(f"{pack}.endless", "echo begun; while :; do sleep 0.1; done")
    first = apart.start_agent("killed")
    running = apart.deployment.start(f"{pack}.endless")
    until(lambda: live(apart, running).exists(), "the first line")
    first.signal(signal.SIGKILL)
    first.wait()
    second = apart.start_agent("killed")
    assert apart.deployment.wait(running).status == "abandoned"
    until(log_of(apart, running).exists, "the log")
    assert log_of(apart, running).read_text() == "begun\n"
    second.stop()


def test_more_than_may_wait_is_cut_and_says_so(apart: Apart, pack: str, tmp_path: Path) -> None:
    apart.add_action(
        f"{pack}.loud", "for n in 1 2 3 4 5 6 7 8; do head -c 20000 /dev/zero | tr '\\0' x; sleep 0.3; done"
    )
    agent = apart.start_agent("small", ATTUNE__ARTIFACTS__SPOOL_MAX_BYTES="50000")
    apart.add_action(f"{pack}.hello", "echo hello")
    apart.deployment.run(f"{pack}.hello")
    apart.deployment.run(f"{pack}.loud")
    apart.stop_server()
    try:
        done = apart.deployment.run(f"{pack}.loud")
    finally:
        apart.restart_server()
    assert done.status == "completed"
    until(log_of(apart, done.id).exists, "the log")
    text = log_of(apart, done.id).read_text()
    assert len(text) < 100_000
    assert "artifacts.spool_max_bytes" in text or "OUTPUT TRUNCATED" in text
    agent.stop()
