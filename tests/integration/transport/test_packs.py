"""Packs that come from the server: by digest, whole, and there for as long as somebody uses them."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import pytest

from agent.mq import topology
from tests.integration.transport.conftest import Apart
from tests.services.agent_process import AgentProcess
from tests.services.deployment import envelope
from tests.services.waiting import until

pytestmark = [pytest.mark.postgres]


@pytest.fixture(scope="module")
def agent(apart: Apart) -> AgentProcess:
    return apart.start_agent("alone")


@pytest.fixture
def pack() -> str:
    return f"p{uuid.uuid4().hex[:8]}"


def test_an_action_runs_from_files_that_came_from_the_server(apart: Apart, agent: AgentProcess, pack: str) -> None:
    apart.add_action(f"{pack}.hello", 'echo "hello from $PWD"; cat lib/words.txt')
    apart.deployment.write(pack, "lib/words.txt", "some words\n")
    done = apart.deployment.run(f"{pack}.hello")
    assert done.status == "completed", (done.result, agent.log()[-3000:])
    assert "some words" in done.result["stdout"]
    place = apart.place("alone") / "packs" / ".fetched" / pack
    assert f"hello from {place}" in done.result["stdout"]
    assert len(apart.versions("alone", pack)) == 1


def test_a_pack_that_changes_while_it_runs_is_kept_for_who_runs_it(
    apart: Apart, agent: AgentProcess, pack: str, tmp_path: Path
) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    script = f"touch {begun}; while [ ! -e {gate} ]; do sleep 0.05; done; . lib/part.sh"
    apart.add_action(f"{pack}.slow", script)
    apart.add_action(f"{pack}.quick", ". lib/part.sh")
    apart.deployment.write(pack, "lib/part.sh", "echo first\n")
    running = apart.deployment.start(f"{pack}.slow")
    until(begun.exists, "the begin of the execution")
    apart.deployment.write(pack, "lib/part.sh", "echo second\n")
    apart.deployment.database.execute("UPDATE action SET label = 'changed' WHERE pack_ref = %s", [pack])
    assert apart.deployment.run(f"{pack}.quick").result["stdout"] == "second\n"
    assert len(apart.versions("alone", pack)) == 2
    gate.touch()
    done = apart.deployment.wait(running)
    assert done.result["stdout"] == "first\n"
    until(lambda: len(apart.versions("alone", pack)) == 1, "the end of the version that nobody uses")


def test_a_pack_that_is_removed_while_it_runs_goes_when_it_has_ended(
    apart: Apart, agent: AgentProcess, pack: str, tmp_path: Path
) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    apart.add_action(f"{pack}.slow", f"touch {begun}; while [ ! -e {gate} ]; do sleep 0.05; done; . lib/part.sh")
    apart.deployment.write(pack, "lib/part.sh", "echo still here\n")
    running = apart.deployment.start(f"{pack}.slow")
    until(begun.exists, "the begin of the execution")
    # As Attune's Rust API does, which asks nobody.
    shutil.rmtree(apart.deployment.packs / pack)
    pack_id = apart.deployment.one("SELECT id FROM pack WHERE ref = %s", [pack])["id"]
    body, message_id = envelope("PackDeleted", {"pack_id": pack_id, "pack_ref": pack}, source="api-service")
    apart.deployment.wire.publish(topology.EVENTS, "pack.deleted", body, message_id)
    until(lambda: f"removed the environments of pack {pack}" in agent.log(), "the event")
    assert len(apart.versions("alone", pack)) == 1
    gate.touch()
    assert apart.deployment.wait(running).result["stdout"] == "still here\n"
    until(lambda: apart.versions("alone", pack) == [], "the end of the removed pack")


def test_what_was_fetched_before_is_used_again_after_a_restart(apart: Apart, pack: str) -> None:
    apart.add_action(f"{pack}.hello", "echo hello")
    first = apart.start_agent("again")
    apart.deployment.run(f"{pack}.hello")
    assert f"fetched pack {pack}" in first.log()
    before = apart.versions("again", pack)
    first.kill()
    second = apart.start_agent("again")
    assert apart.deployment.run(f"{pack}.hello").result["stdout"] == "hello\n"
    assert apart.versions("again", pack) == before
    assert f"fetched pack {pack}" not in second.log()
    second.stop()
