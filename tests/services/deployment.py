"""A deployment around a real agent, and a peer that speaks only the wire contract: SQL, messages and files.

``Deployment`` does what the executor, the API and the pack loader do, on the database and on the broker; it calls
nothing of the agent. ``deployment`` is shared by a module and has one agent, ``fresh_deployment`` belongs to one test
and has none yet.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from psycopg.rows import class_row

from agent.db.pool import Database
from agent.mq import topology
from agent.packs.loader import register
from agent.packs.parser import read_pack
from agent.packs.registered import registered_runtimes
from agent.settings import DatabaseSettings
from tests.services.agent_process import ROOT, AgentProcess, own_environment, spawn_agent
from tests.services.catalog import Catalog
from tests.services.postgres import database_name, fresh_database
from tests.services.rabbitmq import fresh_vhost
from tests.services.waiting import PATIENCE
from tests.services.wire import OBSERVER, DatabaseWire, Message, RabbitWire, Wire

ENDED = ("completed", "failed", "cancelled", "timeout", "abandoned")
ENCRYPTION_KEY = "a key of the tests, longer than 32 bytes"
JWT_SECRET = "another secret of the tests, also long enough"


@dataclass(frozen=True)
class Execution:
    """A row of ``execution``."""

    id: int
    action: int | None
    action_ref: str
    config: Any
    status: str
    result: Any
    worker: int | None
    started_at: datetime | None
    created: datetime
    updated: datetime


class Deployment(Catalog):
    """A database with the core pack, a broker with the executor's queues, directories, and agents."""

    def __init__(self, directory: Path, database_url: str, wire: Wire, *, schema: str = "attune") -> None:
        """Declare the executor's queues and lay out the directories; no agent runs yet."""
        super().__init__(database_url, directory / "packs", schema=schema)
        self.directory = directory
        self.artifacts = directory / "artifacts"
        self.wire = wire
        self.agents: list[AgentProcess] = []
        self._guests: list[AgentProcess] = []
        self.received: list[Message] = []
        self.settings: dict[str, str] = {}  # of all agents that are started from now on
        shutil.copytree(ROOT / "packs" / "core", self.packs / "core")
        wire.declare()

    # --- agents ---

    @property
    def environment(self) -> dict[str, str]:
        """What an agent of this deployment is started with."""
        return own_environment() | {
            "ATTUNE__DATABASE__URL": self.database_url,
            "ATTUNE__DATABASE__SCHEMA": self.schema,
            "ATTUNE__MESSAGE_QUEUE__URL": self.wire.url,
            "ATTUNE__PACKS_BASE_DIR": str(self.packs),
            "ATTUNE__RUNTIME_ENVS_DIR": str(self.directory / "envs"),
            "ATTUNE__ARTIFACTS_DIR": str(self.artifacts),
            "ATTUNE__SECURITY__ENCRYPTION_KEY": ENCRYPTION_KEY,
            "ATTUNE__SECURITY__JWT_SECRET": JWT_SECRET,
            "ATTUNE__WORKER__MAX_CONCURRENT_TASKS": "4",
            **self.settings,
        }

    def start_agent(
        self,
        name: str = "worker-1",
        *,
        user: int | None = None,
        full: bool = False,
        sensors: bool = False,
        wait: bool = True,
        through: Sequence[str] = (),
        **extra: str,
    ) -> AgentProcess:
        """Start an agent, or a sensor service, with further environment variables; ``wait`` until it is active."""
        since = self.one("SELECT clock_timestamp() AS now")["now"]
        log_path = self.directory / f"{name}-{len(self.agents)}.log"
        agent = spawn_agent(
            name, self.environment | extra, log_path, user=user, full=full, sensors=sensors, through=through
        )
        if sensors:
            self._guests.append(agent)
        self.agents.append(agent)
        if wait:
            self.wait_active(agent, since)
        return agent

    def wait_active(self, agent: AgentProcess, since: datetime | None = None) -> None:
        """Wait until the agent's row says active, written after ``since``."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            row = self.database.execute(
                "SELECT id FROM worker WHERE name = %s AND status = 'active'"
                "   AND last_heartbeat >= coalesce(%s::timestamptz, '-infinity')",
                [agent.name, since],
            ).fetchone()
            if row is not None:
                agent.worker_id = int(row[0])
                return
            assert agent.running, f"the agent exited with {agent.process.returncode}:\n{agent.log()}"
            time.sleep(0.02)
        raise AssertionError(f"the agent was not active within {PATIENCE:g} s:\n{agent.log()}")

    @property
    def agent(self) -> AgentProcess:
        """The agent that was started last, guests aside: executions go to it unless they name another."""
        return next(agent for agent in reversed(self.agents) if agent not in self._guests)

    @contextmanager
    def another_agent(self, name: str, *, user: int | None = None, **extra: str) -> Iterator[AgentProcess]:
        """Run one more agent for the length of the block."""
        agent = self.start_agent(name, user=user, **extra)
        self._guests.append(agent)
        try:
            yield agent
        finally:
            agent.stop()

    def close(self) -> None:
        """Stop every agent and close all connections."""
        for agent in self.agents:
            if agent.running:
                try:
                    agent.stop()
                finally:
                    agent.kill()
        self.wire.close()
        self.database.close()

    # --- executions, as the executor handles them ---

    def schedule(self, action_ref: str, config: Any = None, *, worker: int | None = None, **columns: Any) -> int:
        """Insert an execution and schedule it for a worker, without dispatching it; return its id."""
        row = self.database.execute("SELECT id FROM action WHERE ref = %s", [action_ref]).fetchone()
        values = {"action": row and row[0], "action_ref": action_ref, "config": config or {}, "status": "requested"}
        execution_id = self.insert("execution", values | columns)
        self.database.execute("UPDATE execution SET status = 'scheduling' WHERE id = %s", [execution_id])
        self.database.execute(
            "UPDATE execution SET status = 'scheduled', worker = %s WHERE id = %s",
            [worker or self.agent.worker_id, execution_id],
        )
        return execution_id

    def dispatch(self, execution_id: int, *, worker: int | None = None) -> None:
        """Send a scheduled execution to its worker, or to another one."""
        row = self.execution(execution_id)
        to = worker or row.worker or self.agent.worker_id
        payload = dispatch_payload(execution_id, to, row.action_ref, row.config, row.updated)
        self.publish(topology.dispatch_key(to), "ExecutionRequested", payload, source="executor")

    def start(self, action_ref: str, config: Any = None, **columns: Any) -> int:
        """Schedule and dispatch; return the execution's id."""
        execution_id = self.schedule(action_ref, config, **columns)
        self.dispatch(execution_id)
        return execution_id

    def run(self, action_ref: str, config: Any = None, *, timeout: float = PATIENCE, **columns: Any) -> Execution:
        """Schedule, dispatch, and wait for the end."""
        return self.wait(self.start(action_ref, config, **columns), timeout=timeout)

    def cancel(self, execution_id: int) -> None:
        """Cancel a running execution as the API does."""
        self.database.execute("UPDATE execution SET status = 'canceling' WHERE id = %s", [execution_id])
        worker = self.execution(execution_id).worker
        assert worker is not None
        payload = {"execution_id": execution_id, "worker_id": worker}
        self.publish(topology.cancel_key(worker), "ExecutionCancelRequested", payload, source="api-service")

    def publish(self, routing_key: str, kind: str, payload: object, *, source: str) -> None:
        """Publish one message to the exchange of executions."""
        body, message_id = envelope(kind, payload, source=source)
        self.publish_raw(routing_key, body, message_id)

    def publish_raw(self, routing_key: str, body: bytes, message_id: str = "") -> None:
        """Publish any bytes to the exchange of executions."""
        self.wire.publish(topology.EXECUTIONS, routing_key, body, message_id or str(uuid.uuid4()))

    def execution(self, execution_id: int) -> Execution:
        """Read an execution's row."""
        with self.database.cursor(row_factory=class_row(Execution)) as cursor:
            row = cursor.execute(
                "SELECT id, action, action_ref, config, status::text, result, worker, started_at, created, updated"
                "  FROM execution WHERE id = %s",
                [execution_id],
            ).fetchone()
        assert row is not None, f"there is no execution {execution_id}"
        return row

    def wait(self, execution_id: int, *statuses: str, timeout: float = PATIENCE) -> Execution:
        """Wait until an execution has one of ``statuses``, by default until it has ended."""
        wanted = statuses or ENDED
        deadline = time.monotonic() + timeout
        while (row := self.execution(execution_id)).status not in wanted:
            assert time.monotonic() < deadline, f"execution {execution_id} is {row.status} after {timeout:g} s: {row}"
            time.sleep(0.005)
        return row

    def messages(self, execution_id: int, *, until: str | None = "ExecutionCompleted") -> list[Message]:
        """Return all messages about an execution in the order of publication.

        Waits until one of the type ``until`` is there; None returns what there is.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            self.received += self.wire.collect()
            about = [message for message in self.received if message.payload.get("execution_id") == execution_id]
            seen = [message for message in about if message.queue == OBSERVER.name]
            if until is None or any(message.kind == until for message in seen):
                return seen
            assert time.monotonic() < deadline, f"no {until} of execution {execution_id}: {[m.kind for m in seen]}"
            time.sleep(0.01)

    def in_queue(self, queue: str, execution_id: int) -> list[Message]:
        """Return the messages about an execution that lay in one of the executor's queues when last collected."""
        return [m for m in self.received if m.queue == queue and m.payload.get("execution_id") == execution_id]


def dispatch_payload(execution_id: int, worker: int, action_ref: str, config: Any, updated: datetime) -> dict[str, Any]:
    """Return what the executor tells the worker that it has chosen."""
    return {
        "execution_id": execution_id,
        "worker_id": worker,
        "action_ref": action_ref,
        "config": config,
        "scheduled_attempt_updated_at": rfc3339(updated),
    }


def envelope(kind: str, payload: object, *, source: str) -> tuple[bytes, str]:
    """Return a message in the envelope that the Rust services write, and its id."""
    message_id = str(uuid.uuid4())
    document = {
        "message_id": message_id,
        "correlation_id": message_id,
        "message_type": kind,
        "version": "1.0",
        "timestamp": rfc3339(datetime.now(UTC)),
        "headers": {"retry_count": 0, "source_service": source},
        "payload": payload,
    }
    return json.dumps(document).encode(), message_id


def rfc3339(moment: datetime) -> str:
    """Write a time as the Rust services do."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


@pytest.fixture(scope="session")
def core_template(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """Name of a migrated database in which the core pack is registered, to be cloned."""
    with fresh_database(postgres_url, "core", template=migrated_template) as url:
        database = Database(DatabaseSettings(url=url), application_name="attune-tests")
        register(database, read_pack(ROOT / "packs" / "core", registered_runtimes(database)))
        database.close()
        yield database_name(url)


@contextmanager
def running_deployment(request: pytest.FixtureRequest, kind: str = "rabbitmq") -> Iterator[Deployment]:
    """Lay out a deployment with the broker ``rabbitmq`` or ``database``; stop its agents afterwards."""
    postgres_url, template = request.getfixturevalue("postgres_url"), request.getfixturevalue("core_template")
    directory = Path(tempfile.mkdtemp(prefix="attune-deployment-"))
    directory.chmod(0o755)  # an agent may run as another user
    try:
        with fresh_database(postgres_url, "deployment", template=template) as database_url:
            if kind == "database":
                yield from _closing(Deployment(directory, database_url, DatabaseWire(database_url)))
            else:
                with fresh_vhost(request, request.getfixturevalue("amqp_url")) as url:
                    yield from _closing(Deployment(directory, database_url, RabbitWire(url)))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _closing(deployment: Deployment) -> Iterator[Deployment]:
    try:
        yield deployment
    finally:
        deployment.close()


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A deployment with one agent for all tests of a module; ``indirect`` parameters choose the broker."""
    with running_deployment(request, getattr(request, "param", "rabbitmq")) as laid_out:
        laid_out.start_agent()
        yield laid_out


@pytest.fixture
def fresh_deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A deployment of one test's own, in which no agent runs yet."""
    with running_deployment(request, getattr(request, "param", "rabbitmq")) as laid_out:
        yield laid_out


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the agents wrote where a test failed."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            for agent in value.agents if isinstance(value, Deployment) else ():
                report.sections.append((f"stderr of {agent.log_path.name}", agent.log()[-10_000:]))
    return report
