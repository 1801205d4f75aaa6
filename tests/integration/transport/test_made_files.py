"""Files that actions make through the API on a worker that shares no directory with the server."""

from __future__ import annotations

import signal
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.integration.transport.conftest import Apart
from tests.services.agent_process import AgentProcess
from tests.services.deployment import JWT_SECRET
from tests.services.waiting import until

pytestmark = pytest.mark.postgres

#: Allocates a file, writes it where it is told to, and waits for the gate where there is one.
_SCRIPT = """import json, os, pathlib, sys, time, urllib.request
def ask(path, body):
    request = urllib.request.Request(
        os.environ["ATTUNE_API_URL"] + path, json.dumps(body).encode(),
        {{"Authorization": "Bearer " + os.environ["ATTUNE_API_TOKEN"], "Content-Type": "application/json"}})
    return json.load(urllib.request.urlopen(request))["data"]
made = ask("/api/v1/artifacts/ref/{ref}/versions/file", {{"content_type": "application/pdf"}})
ask("/api/v1/artifacts/ref/{ref}/versions/file", {{}})  # and never writes it
file = pathlib.Path(os.environ["ATTUNE_ARTIFACTS_DIR"]) / made["file_path"]
file.parent.mkdir(parents=True, exist_ok=True)
file.write_bytes(b"x" * {size})
print("written", flush=True)
while {gate!r} and not os.path.exists({gate!r}):
    time.sleep(0.05)
"""


def start_agent(apart: Apart, name: str) -> AgentProcess:
    """Start one that can give its actions a token."""
    return apart.start_agent(name, ATTUNE__SECURITY__JWT_SECRET=JWT_SECRET)


@pytest.fixture(scope="module")
def agent(apart: Apart) -> AgentProcess:
    return start_agent(apart, "made")


@pytest.fixture
def pack() -> str:
    return f"p{uuid.uuid4().hex[:8]}"


def add_action(apart: Apart, ref: str, *, size: int, gate: str = "") -> None:
    script = _SCRIPT.format(ref=f"{ref}.result", size=size, gate=gate)
    apart.add_action(ref, script, runtime="core.python")


def start(apart: Apart, ref: str, **columns: Any) -> int:
    """Start it with a token that may do what its pack owns."""
    return apart.deployment.start(ref, permission_set_refs=["standard"], **columns)


def versions(apart: Apart, ref: str) -> list[tuple[int, int | None]]:
    sql = (
        "SELECT v.version, v.size_bytes FROM artifact_version v JOIN artifact a ON a.id = v.artifact"
        " WHERE a.ref = %s ORDER BY v.version"
    )
    return [(row["version"], row["size_bytes"]) for row in apart.deployment.all(sql, [f"{ref}.result"])]


def downloaded(apart: Apart, ref: str, number: int = 1) -> bytes | None:
    one = apart.site.admin.ok("GET", f"/api/v1/artifacts/ref/{ref}.result")["id"]
    answer = apart.site.admin.get(f"/api/v1/artifacts/{one}/versions/{number}/download")
    return answer.content if answer.status_code == 200 else None


def here(apart: Apart, name: str, ref: str) -> list[Path]:
    """What the agent still has of the files of an action."""
    folder = apart.place(name) / "artifacts" / ref.replace(".", "/")
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [5, 3_000_000])
def test_a_file_is_at_the_server_when_its_execution_has_ended(
    apart: Apart, agent: AgentProcess, pack: str, size: int
) -> None:
    ref = f"{pack}.make"
    add_action(apart, ref, size=size)
    done = apart.deployment.wait(start(apart, ref))
    assert done.status == "completed", (done.result, agent.log()[-3000:])
    assert downloaded(apart, ref) == b"x" * size
    assert versions(apart, ref) == [(1, size)], "what was never written is gone"
    until(lambda: here(apart, "made", ref) == [], "an empty disk")


def test_a_server_that_is_away_gets_the_file_when_it_is_back_and_serves_no_half(
    apart: Apart, agent: AgentProcess, pack: str, tmp_path: Path
) -> None:
    ref, gate = f"{pack}.make", tmp_path / "gate"
    add_action(apart, ref, size=2_000_000, gate=str(gate))
    running = start(apart, ref)
    until(lambda: here(apart, "made", ref) != [] and here(apart, "made", ref)[0].stat().st_size == 2_000_000)
    apart.stop_server()
    try:
        gate.touch()
        assert apart.deployment.wait(running).status == "completed"
        assert versions(apart, ref) == [(1, 2_000_000)]
    finally:
        apart.restart_server()
    until(lambda: downloaded(apart, ref) is not None, "the file")
    assert downloaded(apart, ref) == b"x" * 2_000_000
    until(lambda: here(apart, "made", ref) == [], "an empty disk")


def test_what_a_killed_worker_had_made_its_next_life_sends(apart: Apart, pack: str, tmp_path: Path) -> None:
    ref, gate = f"{pack}.make", tmp_path / "gate"
    first = start_agent(apart, "made-killed")
    add_action(apart, ref, size=100, gate=str(gate))
    running = start(apart, ref)
    until(lambda: here(apart, "made-killed", ref) != [])
    first.signal(signal.SIGKILL)
    first.wait()
    second = start_agent(apart, "made-killed")
    assert apart.deployment.wait(running).status == "abandoned"
    until(lambda: downloaded(apart, ref) is not None, "the file")
    assert downloaded(apart, ref) == b"x" * 100
    until(lambda: here(apart, "made-killed", ref) == [], "an empty disk")
    second.stop()


def test_what_was_recorded_while_the_server_was_away_is_sent_by_the_next_life(
    apart: Apart, pack: str, tmp_path: Path
) -> None:
    ref, gate = f"{pack}.make", tmp_path / "gate"
    first = start_agent(apart, "made-lives")
    add_action(apart, ref, size=100, gate=str(gate))
    running = start(apart, ref)
    until(lambda: here(apart, "made-lives", ref) != [])
    apart.stop_server()
    try:
        gate.touch()
        assert apart.deployment.wait(running).status == "completed"
        assert first.stop() == 0
        assert len(here(apart, "made-lives", ref)) == 1
    finally:
        apart.restart_server()
    second = start_agent(apart, "made-lives")
    until(lambda: downloaded(apart, ref) is not None, "the file")
    until(lambda: here(apart, "made-lives", ref) == [], "an empty disk")
    second.stop()


def test_two_workers_that_make_versions_of_one_artifact_keep_them_apart(
    apart: Apart, agent: AgentProcess, pack: str, tmp_path: Path
) -> None:
    ref, gate = f"{pack}.make", tmp_path / "gate"
    add_action(apart, ref, size=2_000_000, gate=str(gate))
    other = start_agent(apart, "made-other")
    running = [start(apart, ref, worker=one.worker_id) for one in (agent, other)]
    until(lambda: here(apart, "made", ref) and here(apart, "made-other", ref), "both files")
    gate.touch()
    assert {apart.deployment.wait(one).status for one in running} == {"completed"}
    found = versions(apart, ref)
    assert [size for _, size in found] == [2_000_000, 2_000_000]
    for number, _ in found:
        assert downloaded(apart, ref, number) == b"x" * 2_000_000
    other.stop()
