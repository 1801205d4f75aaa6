"""What live views cost: hundreds of logs that stand still, and how soon a line of an action reaches who watches it."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import dataclass

from tests.bench.control_side import Server, running_server
from tests.bench.latency import percentiles
from tests.bench.stack import Stack, add_action, start_agent, stop_agent
from tests.bench.throughput import cpu_seconds
from tests.services.events import events

STREAMS = 500
_LINES = 200


@dataclass(frozen=True)
class LiveViews:
    """Share of a core and connections to the database of ``STREAMS`` idle streams; seconds of a line to its viewer."""

    core: float
    connections: int
    p50: float
    p95: float


def live_views(stack: Stack, seconds: float = 20.0) -> LiveViews:
    """Watch logs that stand still, each of another execution; then one that grows."""
    environment = dict(stack.environment)
    stack.environment = environment | {"ATTUNE__SERVER__STREAMS_PER_IDENTITY": str(STREAMS + 10)}
    agent, _ = start_agent(stack)
    try:
        with running_server(stack) as server:
            core, connections = _idle(stack, server, seconds)
            p50, p95 = percentiles(_latencies(stack, server))
    finally:
        stack.environment = environment
        stop_agent(stack, agent)
    return LiveViews(core, connections, p50, p95)


def _idle(stack: Stack, server: Server, seconds: float) -> tuple[float, int]:
    with stack.connect() as connection:
        rows = connection.execute(
            "INSERT INTO execution (action_ref, status) SELECT 'bench.still', 'running' FROM generate_series(1, %s)"
            " RETURNING id",
            [STREAMS],
        ).fetchall()
        ids = [int(str(row[0])) for row in rows]
        for number in ids:
            log = stack.directory / "artifacts" / f"execution_{number}" / "stdout.log"
            log.parent.mkdir(parents=True)
            log.write_text("a line\n")
        with contextlib.ExitStack() as stack_of_sockets:
            for number in ids:
                stack_of_sockets.enter_context(_followed(server, number))
            time.sleep(5)
            pid = server.process.process.pid
            before, started = cpu_seconds(pid), time.perf_counter()
            time.sleep(seconds)
            core = (cpu_seconds(pid) - before) / (time.perf_counter() - started)
            found = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'attune-server%'"
            ).fetchone()
        connection.execute("UPDATE execution SET status = 'cancelled' WHERE action_ref = 'bench.still'")
    return core, int(str(found[0])) if found else 0


def _followed(server: Server, execution: int) -> socket.socket:
    """Follow a log; wait until its first line is there."""
    made = socket.create_connection(("127.0.0.1", server.process.port), timeout=30)
    path = f"/api/v1/executions/{execution}/logs/stdout/stream"
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {server.client.token}\r\n\r\n"
    made.sendall(request.encode())
    received = b""
    while b"a line" not in received:
        received += made.recv(65536)
    return made


def _latencies(stack: Stack, server: Server) -> list[float]:
    add_action(stack, "clock", f"i=0; while [ $i -lt {_LINES} ]; do date +%s.%N; sleep 0.07; i=$((i+1)); done\n")
    made = server.client.ok("POST", "/api/v1/executions/execute", {"action_ref": "bench.clock"})["id"]
    found = []
    with events(server.client, f"/api/v1/executions/{made}/logs/stdout/stream") as viewer:
        for event in viewer:
            if event.name == "append":
                now = time.time()
                found += [now - float(line) for line in event.data.split("\n") if line]
    return found
