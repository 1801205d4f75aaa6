"""The same commands where RabbitMQ is the broker."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from agent.paths import shipped
from tests.acceptance.command import run, running

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


def test_an_action_runs_through_rabbitmq(database_url: str, amqp_vhost_url: str, tmp_path: Path) -> None:
    settings = {
        "ATTUNE__DATABASE__URL": database_url,
        "ATTUNE__MESSAGE_QUEUE__URL": amqp_vhost_url,
        "ATTUNE__PACKS_BASE_DIR": str(tmp_path / "packs"),
        "ATTUNE__RUNTIME_ENVS_DIR": str(tmp_path / "envs"),
        "ATTUNE__ARTIFACTS_DIR": str(tmp_path / "artifacts"),
        "ATTUNE__WORKER__SHUTDOWN_TIMEOUT": "10",
    }
    assert run("attune", "pack", "register", str(shipped("packs") / "core"), settings=settings).returncode == 0
    with running("attune-worker", settings=settings, log=tmp_path / "worker.log") as child:
        deadline = time.monotonic() + 60
        while True:
            rows = json.loads(run("attune", "worker", "list", "--json", settings=settings).stdout)
            if rows and rows[0]["status"] == "active":
                break
            assert child.poll() is None, (tmp_path / "worker.log").read_text(encoding="utf-8")
            assert time.monotonic() < deadline
        done = run("attune", "run", "core.echo", "-p", "message=by rabbit", settings=settings)
        assert (done.returncode, done.stdout, done.stderr) == (0, "by rabbit\n", "")
    assert child.returncode == 0
    rows = json.loads(run("attune", "worker", "list", "--json", settings=settings).stdout)
    assert rows[0]["status"] == "inactive"
