"""How a worker starts: what it declares and tells, in which order, and what keeps it from starting.

Promises: one process for each name; queues before active.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
from typing import Any
from urllib.parse import urlsplit

import pytest

from agent.mq import topology
from tests.integration.worker.jobs import ONLY_SHELL, Jobs
from tests.services.deployment import Deployment
from tests.services.proxy import broker_proxy, until
from tests.services.rabbitmq import RabbitNode, manage

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

TTL = {"x-dead-letter-exchange": "attune.dlx", "x-message-ttl": 300_000}
DLX = {"x-dead-letter-exchange": "attune.dlx"}


class Management:
    """The management API of a node, for one virtual host."""

    def __init__(self, node: RabbitNode, url: str) -> None:
        self._base, self._vhost = f"http://127.0.0.1:{node.http_port}", urlsplit(url).path[1:]

    def get(self, kind: str, rest: str = "") -> Any:
        return json.loads(manage(self._base, "GET", f"/api/{kind}/{self._vhost}{rest}"))

    def queue(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.get("queues", f"/{name}")
        except urllib.error.HTTPError:
            return None
        return found

    def bindings(self, queue: str) -> set[tuple[str, str]]:
        found = self.get("queues", f"/{queue}/bindings")
        return {(row["source"], row["routing_key"]) for row in found if row["source"]}


@pytest.fixture
def management(rabbit_node: RabbitNode, fresh_deployment: Deployment) -> Management:
    return Management(rabbit_node, fresh_deployment.wire.url)


def test_a_worker_is_inactive_until_its_queues_exist_and_its_consumers_run(
    fresh_deployment: Deployment, management: Management
) -> None:
    with broker_proxy(fresh_deployment.wire.url) as (proxy, url):
        proxy.hold_after(1)  # the one that declares; consumers and publisher have to wait
        agent = fresh_deployment.start_agent(wait=False, ATTUNE__MESSAGE_QUEUE__URL=url, **ONLY_SHELL)
        until(lambda: proxy.held >= 4, "connecting of three consumers and a publisher")
        row = fresh_deployment.one("SELECT id, status::text FROM worker")
        assert row["status"] == "inactive"
        assert all(management.queue(name) for name in topology.owned_queues(row["id"]))
        proxy.accept()
        fresh_deployment.wait_active(agent)
        assert agent.stop() == 0


def test_queues_and_bindings_are_declared_exactly_as_the_contract_says(
    fresh_deployment: Deployment, management: Management
) -> None:
    worker = fresh_deployment.start_agent(**ONLY_SHELL).worker_id
    expected = {
        f"worker.{worker}.executions": (TTL, {("attune.executions", f"execution.dispatch.worker.{worker}")}),
        f"worker.{worker}.packs": (DLX, {("attune.events", "pack.registered"), ("attune.events", "pack.deleted")}),
        f"worker.{worker}.cancel": (DLX, {("attune.executions", f"execution.cancel.worker.{worker}")}),
    }
    for name, (arguments, bindings) in expected.items():
        queue = management.queue(name)
        assert queue is not None
        assert queue["arguments"] == arguments
        assert (queue["durable"], queue["auto_delete"], queue["exclusive"]) == (True, False, False)
        assert management.bindings(name) == bindings
    assert management.queue("attune.dlx.queue")["arguments"] == {}  # type: ignore[index]
    assert ("attune.dlx", "#") in management.bindings("attune.dlx.queue")


def test_consumers_have_the_tags_and_prefetches_of_the_contract(
    fresh_deployment: Deployment, rabbit_node: RabbitNode
) -> None:
    worker = fresh_deployment.start_agent(ATTUNE__WORKER__MAX_CONCURRENT_TASKS="3", **ONLY_SHELL).worker_id
    vhost = urlsplit(fresh_deployment.wire.url).path[1:]
    columns = ("queue_name", "consumer_tag", "ack_required", "prefetch_count")
    listed = rabbit_node.ctl("list_consumers", "--vhost", vhost, "--no-table-headers", *columns)
    assert sorted(line.split() for line in listed.splitlines()) == [
        [f"worker.{worker}.cancel", f"worker-{worker}-cancel", "true", "10"],
        [f"worker.{worker}.executions", f"worker-{worker}", "true", "5"],
        [f"worker.{worker}.packs", f"worker-{worker}-packs", "true", "5"],
    ]


def test_an_agent_offers_what_lies_in_the_directories_that_an_operator_named(fresh_deployment: Deployment) -> None:
    place = fresh_deployment.directory / "more/3.99.7/bin"
    place.mkdir(parents=True)
    (place / "python3").write_text("#!/bin/sh\necho Python 3.99.7\n")
    (place / "python3").chmod(0o755)
    fresh_deployment.start_agent(ATTUNE__RUNTIMES__SEARCH_PATHS=str(place.parents[1]), ATTUNE_WORKER_RUNTIMES="python")
    told = fresh_deployment.one("SELECT capabilities FROM worker")["capabilities"]
    entry = {"name": "python", "path": str(place / "python3"), "version": "3.99.7"}
    assert entry in told["detected_interpreters"] and "3.99.7" in told["runtime_versions"]["python"]
    [row] = fresh_deployment.all("SELECT meta FROM runtime_version WHERE version = '3.99'")
    assert row["meta"]["auto_detected"] is True


def test_an_agent_tells_what_it_is_and_what_it_found(fresh_deployment: Deployment) -> None:
    fresh_deployment.start_agent(
        "teller",
        ATTUNE_WORKER_RUNTIMES="bash,python3,native",
        ATTUNE__WORKER__LABELS='{"zone":"a","blank":" "}',
        ATTUNE__WORKER__TAINTS='[{"key":"gpu","value":"yes"},{"key":"slow","effect":"prefer_no_schedule"}]',
        ATTUNE__WORKER__HOST="box",
        ATTUNE__WORKER__PORT="81",
        ATTUNE_WORKER_TYPE="container",
    )
    row = fresh_deployment.one(
        "SELECT name, worker_type::text, worker_role::text, host, port, cordoned, capabilities FROM worker"
    )
    told = row.pop("capabilities")
    assert row == {
        "name": "teller",
        "worker_type": "container",
        "worker_role": "action",
        "host": "box",
        "port": 81,
        "cordoned": False,
    }
    interpreters = told.pop("detected_interpreters")
    versions = told.pop("runtime_versions")
    assert told == {
        "max_concurrent_executions": 4,
        "worker_version": told["worker_version"],
        "agent_mode": True,
        "agent_binary_name": "attune-agent",
        "agent_binary_version": told["worker_version"],
        "labels": {"zone": "a"},
        "taints": [
            {"key": "gpu", "value": "yes", "effect": "no_schedule"},
            {"key": "slow", "effect": "prefer_no_schedule"},
        ],
        "runtimes": ["shell", "python", "native"],
        "guarded_claim": True,
    }
    assert {item["name"] for item in interpreters} >= {"shell", "python"}
    assert all(set(item) == {"name", "path", "version"} for item in interpreters)
    assert set(versions) >= {"shell", "python"}
    assert all(type(version) is str for listed in versions.values() for version in listed)


def test_a_restart_keeps_the_row_and_what_operators_wrote_into_it(fresh_deployment: Deployment) -> None:
    first = fresh_deployment.start_agent(**ONLY_SHELL)
    assert first.stop() == 0
    fresh_deployment.all("UPDATE worker SET cordoned = true, cordon_reason = 'repair', meta = '{\"rack\": 7}'")
    second = fresh_deployment.start_agent(ATTUNE__WORKER__HOST="elsewhere", **ONLY_SHELL)
    assert second.worker_id == first.worker_id
    row = fresh_deployment.one("SELECT cordoned, cordon_reason, meta, host, status::text FROM worker")
    assert row == {
        "cordoned": True,
        "cordon_reason": "repair",
        "meta": {"rack": 7},
        "host": "elsewhere",
        "status": "active",
    }


def test_a_full_worker_verifies_versions_and_builds_environments_when_it_starts(fresh_deployment: Deployment) -> None:
    python = shutil.which("python3")
    assert python is not None
    asked = subprocess.run(
        [python, "-c", "import sys;print('.'.join(map(str,sys.version_info[:2])))"], capture_output=True
    )
    version = asked.stdout.decode().strip()
    fresh_deployment.all("DELETE FROM runtime_version")
    config = fresh_deployment.one("SELECT execution_config FROM runtime WHERE ref = 'core.python'")["execution_config"]
    for number, binary in ((version, python), ("2.2", "/no/such/python2.2")):
        interpreter = config["interpreter"] | {"binary": binary}
        versioned = config | {"interpreter": interpreter}
        fresh_deployment.add_runtime_version("core.python", number, binary, execution_config=versioned)
    fresh_deployment.all("UPDATE runtime_version SET available = false, verified_at = NULL")
    fresh_deployment.all("DELETE FROM action WHERE pack_ref = 'core'")
    fresh_deployment.add_action("snake.hello", "print('hello')\n", runtime="core.python")
    agent = fresh_deployment.start_agent(full=True, ATTUNE_WORKER_RUNTIMES="python")
    until(
        lambda: fresh_deployment.all("SELECT 1 FROM pack_environment WHERE status = 'ready'"),
        "an environment",
        timeout=60,
    )
    # What else this machine has gets rows of its own.
    rows = fresh_deployment.all(
        "SELECT version, available FROM runtime_version WHERE runtime_ref = 'core.python'"
        """ AND NOT meta @> '{"auto_detected": true}'"""
    )
    assert {row["version"]: row["available"] for row in rows} == {version: True, "2.2": False}
    told = fresh_deployment.one("SELECT capabilities FROM worker")["capabilities"]
    assert version in told["runtime_versions"]["python"] and "2.2" not in told["runtime_versions"]["python"]
    checks = {entry["version"]: entry["ok"] for entry in told["runtime_verdicts"]}
    assert checks[version] is True and checks["2.2"] is False
    assert told["runtimes"] == ["python"]
    assert "agent_mode" not in told
    assert "detected_interpreters" not in told
    assert list((fresh_deployment.directory / "envs" / "snake").iterdir())
    assert agent.stop() == 0


def test_an_agent_registers_what_it_found_where_no_runtime_is_known(fresh_deployment: Deployment) -> None:
    fresh_deployment.all("UPDATE action SET runtime = NULL")
    fresh_deployment.all("DELETE FROM sensor")
    fresh_deployment.all("DELETE FROM runtime")
    shutil.rmtree(fresh_deployment.packs / "core")
    fresh_deployment.start_agent(ATTUNE_WORKER_RUNTIMES="shell,python")
    rows = fresh_deployment.all("SELECT ref, auto_detected, pack FROM runtime ORDER BY ref")
    assert [row["ref"] for row in rows if row["ref"] in ("auto.python", "auto.shell")] == ["auto.python", "auto.shell"]
    assert all(row["auto_detected"] and row["pack"] is None for row in rows)
    fresh_deployment.add_action("job.auto", "#!/bin/sh\necho $0\n", runtime="auto.shell", entrypoint="auto.sh")
    assert fresh_deployment.run("job.auto").status == "completed"


def test_an_agent_works_on_a_database_without_a_table_of_migrations(fresh_deployment: Deployment) -> None:
    fresh_deployment.all("DROP TABLE attune_migration")
    agent = fresh_deployment.start_agent(**ONLY_SHELL)
    jobs = Jobs(fresh_deployment)
    assert fresh_deployment.run(jobs.QUICK).status == "completed"
    assert agent.stop() == 0
    assert agent.records(level="error") == []


def test_the_name_of_a_sensor_worker_is_refused(fresh_deployment: Deployment) -> None:
    fresh_deployment.all(
        "INSERT INTO worker (name, worker_type, worker_role, status) VALUES ('watcher', 'local', 'sensor', 'active')"
    )
    agent = fresh_deployment.start_agent("watcher", wait=False, **ONLY_SHELL)
    assert agent.wait() == 2
    assert "attune-agent: the name watcher belongs to a sensor worker" in agent.log()
    assert "hint: give this worker another name" in agent.log()
    assert fresh_deployment.one("SELECT status::text FROM worker")["status"] == "active"


def test_a_second_process_waits_for_the_name_and_gives_up_naming_the_holder(fresh_deployment: Deployment) -> None:
    fresh_deployment.start_agent("twin", ATTUNE__WORKER__HOST="first-host", **ONLY_SHELL)
    began = time.monotonic()
    second = fresh_deployment.start_agent("twin", wait=False, ATTUNE__WORKER__SHUTDOWN_TIMEOUT="1", **ONLY_SHELL)
    assert second.wait() == 1
    assert time.monotonic() - began > 1
    assert "another process runs as worker twin: attune-agent twin on host first-host" in second.log()
    assert "hint: stop it, or give this one another name" in second.log()
    row = fresh_deployment.one("SELECT status::text, host FROM worker")
    assert row == {"status": "active", "host": "first-host"}


def test_a_second_process_takes_over_when_the_first_leaves(fresh_deployment: Deployment) -> None:
    first = fresh_deployment.start_agent("twin", ATTUNE__WORKER__HOST="first-host", **ONLY_SHELL)
    jobs = Jobs(fresh_deployment)
    second = fresh_deployment.start_agent("twin", wait=False, ATTUNE__WORKER__HOST="second-host", **ONLY_SHELL)
    second.wait_for_log("another process runs as twin")
    assert first.stop() == 0
    until(
        lambda: (
            fresh_deployment.one("SELECT status::text AS s, host FROM worker") == {"s": "active", "host": "second-host"}
        ),
        "the take-over",
    )
    second.worker_id = first.worker_id
    assert fresh_deployment.run(jobs.QUICK).status == "completed"


def test_a_process_that_waits_for_the_name_leaves_at_once_when_it_is_told_to(fresh_deployment: Deployment) -> None:
    fresh_deployment.start_agent("twin", **ONLY_SHELL)
    second = fresh_deployment.start_agent("twin", wait=False, **ONLY_SHELL)
    second.wait_for_log("another process runs as twin")
    assert second.stop(timeout=5) == 1
    assert fresh_deployment.one("SELECT status::text FROM worker")["status"] == "active"
