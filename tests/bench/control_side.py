"""What `attune server` adds to the agent's own time, what it takes when idle, and how soon it listens."""

from __future__ import annotations

import contextlib
import http.client
import json
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.latency import latencies
from tests.bench.memory import resident_bytes
from tests.bench.stack import Stack, start_agent, stop_agent
from tests.bench.throughput import cpu_seconds, throughput
from tests.services.server import ApiClient, ServerProcess, attune, start_server

_PASSWORD = "a password of the benchmark"
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Server:
    """A server of the stack; ``client`` has logged in with everything; ``start`` is the seconds until it listened,
    ``spent`` those of the processor."""

    process: ServerProcess
    client: ApiClient
    start: float
    spent: float


@contextlib.contextmanager
def running_server(stack: Stack, *words: str) -> Iterator[Server]:
    """Run a server for the length of the block."""
    started = time.perf_counter()
    process = start_server(stack.environment, stack.directory / f"server-{time.monotonic_ns()}.log", *words)
    seconds = time.perf_counter() - started
    spent = cpu_seconds(process.process.pid)
    client = ApiClient(process.url)
    try:
        # Made by the first server of a run.
        attune(stack.environment, "identity", "create", "bench", "--admin", stdin=_PASSWORD)
        yield Server(process, client.login("bench", _PASSWORD), seconds, spent)
    finally:
        client.http.close()
        try:
            process.stop()
        finally:
            process.kill()


class Requests:
    """Asks for executions on a connection of its own, at a fraction of what a comfortable client costs this machine."""

    def __init__(self, server: Server) -> None:
        """Connect with the first request."""
        self._connection = http.client.HTTPConnection("127.0.0.1", server.process.port, timeout=30)
        self._headers = {"Authorization": f"Bearer {server.client.token}", "Content-Type": "application/json"}

    def execute(self) -> int:
        """Ask for a no-op; return its id."""
        body = b'{"action_ref": "bench.noop"}'
        self._connection.request("POST", "/api/v1/executions/execute", body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 201:
            raise RuntimeError(f"the server answered {answer.status}: {content[:200]!r}")
        return int(json.loads(content)["data"]["id"])


@dataclass(frozen=True)
class Idle:
    """Share of a core, MiB, and seconds from start to listening: elapsed, and of the processor."""

    core: float
    mib: float
    start: float
    spent: float


def idle(stack: Stack, seconds: float = 30.0) -> Idle:
    """Watch a server that has nothing to do, with one agent that has nothing to do either."""
    agent, _ = start_agent(stack)
    starts, spent = [], []
    for _ in range(3):
        with running_server(stack) as server:
            starts.append(server.start)
            spent.append(server.spent)
    with running_server(stack) as server:
        time.sleep(5)
        pid = server.process.process.pid
        before, started = cpu_seconds(pid), time.perf_counter()
        time.sleep(seconds)
        core = (cpu_seconds(pid) - before) / (time.perf_counter() - started)
        mib = resident_bytes(pid) / _MIB
    stop_agent(stack, agent)
    return Idle(core, mib, min(starts), min(spent))


def served_latencies(stack: Stack, count: int = 200) -> list[float]:
    """Return the seconds from sending each request until its row is completed; one at a time."""
    agent, _ = start_agent(stack)
    seconds = []
    with running_server(stack) as server, stack.connect() as connection:
        connection.execute("LISTEN execution_status_changed")
        requests = Requests(server)
        for number in range(count + 20):
            started = time.perf_counter()
            made = requests.execute()
            for notice in connection.notifies(timeout=30):
                if f'"entity_id":{made},' in notice.payload.replace(" ", "") and '"completed"' in notice.payload:
                    break
            else:
                raise RuntimeError(f"execution {made} did not complete within 30 s")
            if number >= 20:
                seconds.append(time.perf_counter() - started)
    stop_agent(stack, agent)
    return seconds


@dataclass(frozen=True)
class Rates:
    """Executions in a second: ``direct`` as the agent does alone, ``accepted`` and ``completed`` through the server."""

    direct: float
    accepted: float
    completed: float


def rates(stack: Stack, executions: int = 1000, clients: int = 4) -> Rates:
    """Send requests from some clients at once, wait until each has completed, and dispatch as many directly."""
    direct, _ = throughput(stack, executions)
    agent, _ = start_agent(stack)
    with running_server(stack) as server, stack.connect() as connection:
        before = _completed(connection)
        started = time.perf_counter()

        def send() -> None:
            requests = Requests(server)
            for _ in range(executions // clients):
                requests.execute()

        threads = [threading.Thread(target=send) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        accepted = executions / (time.perf_counter() - started)
        while _completed(connection) - before < executions:
            if time.perf_counter() - started > 300:
                raise RuntimeError("not every execution completed within 5 minutes")
            time.sleep(0.02)
        completed = executions / (time.perf_counter() - started)
    stop_agent(stack, agent)
    return Rates(direct, accepted, completed)


def _completed(connection: object) -> int:
    rows = connection.execute("SELECT count(*) FROM execution WHERE status = 'completed'")  # type: ignore[attr-defined]
    return int(rows.fetchone()[0])


def agent_alone(stack: Stack) -> float:
    """Return the agent's own median latency in seconds."""
    return statistics.median(latencies(stack))
