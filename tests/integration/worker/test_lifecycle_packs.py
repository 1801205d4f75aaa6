"""What a worker does when a pack is registered or deleted."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.mq import topology
from tests.integration.worker.jobs import ONLY_SHELL, Jobs
from tests.services.deployment import Deployment
from tests.services.proxy import until

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


def tell(deployment: Deployment, key: str, kind: str, payload: dict[str, object]) -> None:
    """Publish as the API does: without the name of the service."""
    message_id = str(uuid.uuid4())
    envelope = {
        "message_id": message_id,
        "message_type": kind,
        "version": "1.0",
        "timestamp": datetime.now(UTC).isoformat(),
        "headers": {"retry_count": 0},
        "payload": payload,
    }
    deployment.wire.publish(topology.EVENTS, key, json.dumps(envelope).encode(), message_id)


def environments(deployment: Deployment, pack: str) -> list[Path]:
    directory = deployment.directory / "envs" / pack
    return [path for path in directory.iterdir() if not path.name.startswith(".")] if directory.is_dir() else []


@pytest.fixture
def pack(fresh_deployment: Deployment) -> dict[str, object]:
    fresh_deployment.start_agent(ATTUNE_WORKER_RUNTIMES="shell,python")
    fresh_deployment.all("UPDATE action SET runtime = NULL WHERE pack_ref = 'core'")
    fresh_deployment.add_action("snake.hello", "import sys; print(sys.prefix)\n", runtime="core.python")
    pack_id = fresh_deployment.one("SELECT id FROM pack WHERE ref = 'snake'")["id"]
    return {"pack_id": pack_id, "pack_ref": "snake"}


def test_a_registered_pack_gets_its_environment_and_a_deleted_one_loses_it(
    fresh_deployment: Deployment, pack: dict[str, object]
) -> None:
    assert environments(fresh_deployment, "snake") == []
    tell(
        fresh_deployment, "pack.registered", "PackRegistered", pack | {"version": "1.0.0", "runtime_names": ["python"]}
    )
    ready = "SELECT env_path FROM pack_environment WHERE pack_ref = 'snake' AND status = 'ready'"
    until(lambda: fresh_deployment.all(ready), "the environment", timeout=60)
    assert environments(fresh_deployment, "snake")
    prefix = fresh_deployment.run("snake.hello").result["stdout"].strip()
    assert prefix.startswith(str((fresh_deployment.directory / "envs" / "snake").resolve()))
    told = fresh_deployment.one("SELECT capabilities FROM worker")["capabilities"]
    assert set(told["runtime_versions"]) == {"shell", "python"}
    tell(fresh_deployment, "pack.deleted", "PackDeleted", pack)
    until(lambda: not environments(fresh_deployment, "snake"), "the removal")


def test_what_is_malformed_or_about_something_else_holds_nothing_up(
    fresh_deployment: Deployment, pack: dict[str, object]
) -> None:
    queue = topology.packs_queue(fresh_deployment.agent.worker_id).name
    for body in (b"", b"{}", b'{"message_type": "PackRegistered", "timestamp": "2026-01-01T00:00:00Z", "payload": {}}'):
        fresh_deployment.wire.publish(topology.EVENTS, "pack.registered", body, str(uuid.uuid4()))
    tell(fresh_deployment, "pack.registered", "RuleCreated", {"rule_id": 1})
    tell(fresh_deployment, "pack.registered", "NoSuchType", {})
    fresh_deployment.agent.wait_for_log("ignored a message that is not about packs")
    tell(fresh_deployment, "pack.deleted", "PackDeleted", {"pack_id": 987654, "pack_ref": "never-was"})
    (fresh_deployment.directory / "envs" / "snake" / "python").mkdir(parents=True)
    tell(fresh_deployment, "pack.deleted", "PackDeleted", pack)
    until(lambda: not environments(fresh_deployment, "snake"), "the removal")
    until(lambda: fresh_deployment.wire.depth(queue) == 0, "the end of the queue")
    refused = [line for line in fresh_deployment.agent.records(level="error") if "malformed" in line["message"]]
    assert len(refused) == 4
    assert fresh_deployment.agent.stop() == 0
    assert fresh_deployment.wire.depth(queue) == 0


def test_a_deleted_pack_cannot_name_a_directory_outside(fresh_deployment: Deployment, jobs: Jobs) -> None:
    fresh_deployment.start_agent(**ONLY_SHELL)
    precious = fresh_deployment.directory / "precious"
    precious.mkdir()
    for name in ("../precious", str(precious), "..", ".", ""):
        tell(fresh_deployment, "pack.deleted", "PackDeleted", {"pack_id": 1, "pack_ref": name})
    queue = topology.packs_queue(fresh_deployment.agent.worker_id).name
    until(lambda: fresh_deployment.wire.depth(queue) == 0, "the end of the queue")
    assert fresh_deployment.run(jobs.QUICK).status == "completed"
    assert fresh_deployment.agent.stop() == 0
    assert precious.is_dir()
