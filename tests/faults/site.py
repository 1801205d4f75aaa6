"""One scenario's deployment: a database, a virtual host, proxies in front of both, agents behind them, and the jobs.

What the executor and the API do is done here on the servers themselves; only agents go through the proxies. What jobs
did is counted outside: each appends a line to a file when it starts, and one when it ends.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psycopg

from agent.mq import topology
from tests.faults.direct_connections import PATIENCE, DirectConnections, now
from tests.faults.jobs import QUICK, SHORT, register_jobs
from tests.faults.servers import ROOT, Servers
from tests.services.agent_process import AgentProcess, own_environment
from tests.services.postgres import fresh_database
from tests.services.proxy import Proxy, broker_proxy, database_proxy, until
from tests.services.wire import RabbitWire

ENDED = ("completed", "failed", "cancelled", "timeout", "abandoned")
_START_TIMEOUT = 60.0
#: How often an agent is started that leaves with 1 because a server is away.
_STARTS = 10


class Skipped(Exception):
    """This machine can't bring the fault about; the message says what it lacks."""


@dataclass(frozen=True)
class Program:
    """What is started as the agent, and where."""

    argv: tuple[str, ...] = (sys.executable, "-m", "agent")
    cwd: Path = ROOT


@dataclass
class Site:
    """See the module. ``scale`` multiplies how many executions a scenario runs."""

    servers: Servers
    directory: Path
    #: The servers themselves, past the proxies.
    direct: DirectConnections
    database: Proxy
    broker: Proxy
    environment: dict[str, str]
    program: Program
    scale: float
    #: Seconds after which what has not ended is stuck.
    patience: float = 60.0
    agents: list[AgentProcess] = field(default_factory=list)
    submitted: list[int] = field(default_factory=list)
    #: Ended by the scenario itself, as a monitor does: nobody else may touch them.
    ended_elsewhere: set[int] = field(default_factory=set)
    #: Seconds from the end of a fault until an execution that was submitted then had ended.
    recovery: float | None = None

    # --- agents ---

    def start_agent(self, name: str = "worker-1", *, wait: bool = True, **extra: str) -> AgentProcess:
        """Start an agent, and wait until it is active; start it again, as its supervisor does, where it can't begin."""
        for _ in range(_STARTS):
            before = self.direct.one("SELECT clock_timestamp()")
            agent = self._spawn(name, extra)
            if not wait or self.wait_active(agent, before):
                return agent
        raise AssertionError(f"the agent did not become active:\n{agent.log()[-3000:]}")

    def _spawn(self, name: str, extra: dict[str, str]) -> AgentProcess:
        path = self.directory / f"{name}-{len(self.agents)}.log"
        with path.open("ab") as log:
            process = subprocess.Popen(
                [*self.program.argv, "--name", name],
                env=self.environment | extra,
                cwd=self.program.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        agent = AgentProcess(name, process, path)
        self.agents.append(agent)
        return agent

    def wait_active(self, agent: AgentProcess, since: datetime) -> bool:
        """Wait until its row says so; False when it has left because it can't begin."""
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            rows = self.direct.rows(
                "SELECT id FROM worker WHERE name = %s AND status = 'active' AND last_heartbeat >= %s",
                agent.name,
                since,
            )
            if rows:
                agent.worker_id = int(rows[0][0])
                return True
            if not agent.running and agent.process.returncode == 1:
                return False
            if not agent.running or time.monotonic() > deadline:
                raise AssertionError(f"the agent did not become active:\n{agent.log()[-3000:]}")
            time.sleep(0.05)

    def kill(self, agent: AgentProcess) -> AgentProcess:
        """End it as a crash would and start its next life."""
        agent.kill()
        self.database.expire()  # otherwise its keepalives do that, 40 s later
        return self.start_agent(agent.name)

    # --- executions ---

    def count(self, number: int) -> int:
        """Return how many executions, at this scale, ``number`` are."""
        return max(4, round(number * self.scale))

    def submit(self, number: int, action: str = SHORT, *, agent: AgentProcess | None = None) -> list[int]:
        """Schedule and dispatch so many executions, at this scale."""
        ids = self.schedule(self.count(number), action, agent=agent)
        self.dispatch(ids, agent=agent)
        return ids

    def schedule(self, number: int, action: str = SHORT, *, agent: AgentProcess | None = None) -> list[int]:
        """Insert rows as the executor leaves them when it dispatches; no message is sent."""
        worker = (agent or self.agents[-1]).worker_id
        rows = self.direct.rows(
            "INSERT INTO execution (action, action_ref, config, status, worker)"
            " SELECT a.id, a.ref, '{}', 'scheduled', %s FROM action a, generate_series(1, %s) WHERE a.ref = %s"
            " RETURNING id",
            worker,
            number,
            action,
        )
        ids = [int(row[0]) for row in rows]
        self.submitted += ids
        return ids

    def dispatch(self, ids: Iterable[int], *, agent: AgentProcess | None = None) -> None:
        """Send their dispatches; again and again while the broker is away, as the executor does."""
        worker = (agent or self.agents[-1]).worker_id
        for execution_id in ids:
            payload = {"execution_id": execution_id, "worker_id": worker, "action_ref": SHORT, "config": {}}
            payload["scheduled_attempt_updated_at"] = now()
            self.direct.publish(topology.dispatch_key(worker), "ExecutionRequested", payload)

    def cancel(self, ids: Iterable[int], *, agent: AgentProcess | None = None) -> None:
        """Cancel as the API does."""
        worker = (agent or self.agents[-1]).worker_id
        for execution_id in ids:
            self.direct.rows(
                "UPDATE execution SET status = 'canceling' WHERE id = %s AND status IN ('scheduled', 'running')"
                " RETURNING id",
                execution_id,
            )
            self.direct.publish(
                topology.cancel_key(worker),
                "ExecutionCancelRequested",
                {"execution_id": execution_id, "worker_id": worker},
            )

    def end_elsewhere(self, ids: Iterable[int]) -> None:
        """End what runs, as a monitor does that takes the worker for dead."""
        rows = self.direct.rows(
            "UPDATE execution SET status = 'abandoned', result = '{\"abandoned_by\": \"execution_timeout_monitor\"}'"
            " WHERE id = ANY(%s) AND status = 'running' RETURNING id",
            list(ids),
        )
        self.ended_elsewhere.update(int(row[0]) for row in rows)

    def wait_running(self, ids: Iterable[int], number: int = 1) -> None:
        """Wait until so many of them have started."""
        wanted = set(ids)
        number = min(number, len(wanted))  # at a small scale there are fewer
        until(lambda: len(wanted & self.started()) >= number, f"the start of {number}", PATIENCE)

    def wait_ended(self, ids: Iterable[int] | None = None, timeout: float | None = None) -> bool:
        """Wait until all have ended; whether they have."""
        wanted = list(self.submitted if ids is None else ids)
        deadline = time.monotonic() + (self.patience if timeout is None else timeout)
        while time.monotonic() < deadline:
            with suppress(psycopg.Error):
                if (
                    self.direct.one(
                        "SELECT count(*) FROM execution WHERE id = ANY(%s) AND status <> ALL(%s)", wanted, list(ENDED)
                    )
                    == 0
                ):
                    return True
            time.sleep(0.05)
        return False

    def healed(self) -> None:
        """Note that the fault is over now, and measure how long it takes until something new has ended."""
        began = time.monotonic()
        fresh = self.schedule(1, QUICK)
        self.dispatch(fresh)
        if self.wait_ended(fresh):
            self.recovery = max(self.recovery or 0.0, time.monotonic() - began)

    def release(self) -> None:
        """Let the long jobs end."""
        (self.directory / "release").touch()

    # --- what happened ---

    def trace(self) -> list[tuple[int, str]]:
        """Each start and end of a job, as the jobs wrote it."""
        path = self.directory / "trace"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(number), what) for number, _, what in (line.partition(" ") for line in lines)]

    def started(self) -> set[int]:
        """The executions whose process has started."""
        return {number for number, what in self.trace() if what == "start"}

    def close(self) -> None:
        """Stop every agent, and close the connection."""
        self.direct.close()
        self.release()
        self.database.accept()
        self.broker.accept()
        for agent in self.agents:
            if agent.running:
                agent.signal(signal.SIGCONT)
                try:
                    agent.stop(60)
                finally:
                    agent.kill()


@contextmanager
def site(
    servers: Servers,
    *,
    program: Program | None = None,
    scale: float = 1.0,
    patience: float = 60.0,
    **settings: str,
) -> Iterator[Site]:
    """Lay out a site for the length of the block; ``settings`` are further variables of all its agents."""
    directory = Path(tempfile.mkdtemp(prefix="attune-fault-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        url = stack.enter_context(fresh_database(servers.postgres.url, "fault", template=servers.template))
        vhost = f"fault-{uuid.uuid4().hex[:8]}"
        amqp = servers.rabbit.vhost_url(vhost)
        stack.callback(_drop, servers.rabbit.drop_vhost, vhost)
        database, through_database = stack.enter_context(database_proxy(url))
        broker, through_broker = stack.enter_context(broker_proxy(amqp))
        environment = own_environment() | {
            "ATTUNE__DATABASE__URL": through_database,
            "ATTUNE__MESSAGE_QUEUE__URL": f"{through_broker}?heartbeat=2",
            "ATTUNE__PACKS_BASE_DIR": str(directory / "packs"),
            "ATTUNE__RUNTIME_ENVS_DIR": str(directory / "envs"),
            "ATTUNE__ARTIFACTS_DIR": str(directory / "artifacts"),
            "ATTUNE__WORKER__MAX_CONCURRENT_TASKS": "8",
            "ATTUNE__WORKER__HEARTBEAT_INTERVAL": "0.5",
            "ATTUNE__WORKER__SHUTDOWN_TIMEOUT": "12",
            "ATTUNE_WORKER_RUNTIMES": "shell",
            **settings,
        }
        register_jobs(url, directory)
        (directory / "artifacts").mkdir()
        RabbitWire(amqp).declare()
        laid_out = Site(
            servers,
            directory,
            DirectConnections(url, amqp),
            database,
            broker,
            environment,
            program or Program(),
            scale,
            patience,
        )
        stack.callback(laid_out.close)
        yield laid_out


def _drop(drop: Callable[[str], None], vhost: str) -> None:
    with suppress(OSError):
        drop(vhost)
