"""Whether a million finished executions and a hundred thousand that wait make placing and listing slower."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.bench.control_side import Server, running_server
from tests.bench.placing import Session, bare_seconds, dispatcher, dispatcher_seconds, fleet
from tests.bench.stack import Stack

FINISHED, WAITING, UNFIT = 1_000_000, 100_000, 10_000

LISTS = (
    "/api/v1/executions",
    "/api/v1/executions?status=failed",
    "/api/v1/executions?action_ref=bench.noop",
    "/api/v1/executions?page=10",
    "/api/v1/executions/stats",
)


@dataclass(frozen=True)
class Costs:
    """Seconds for one execution, placed by the dispatcher and by the bare statement, and for each of ``LISTS``."""

    placing: float
    bare: float
    lists: tuple[float, ...]


def costs(stack: Stack) -> tuple[Costs, Costs]:
    """Return the costs with a thousand rows, and with full tables, ten thousand that fit nobody in front."""
    with running_server(stack, "--only", "api") as server, stack.connect() as connection:
        fill(connection, finished=900, waiting=90, unfit=10)
        few = _measure(stack, server, connection)
        clear(connection)
        fill(connection, finished=FINISHED, waiting=WAITING - UNFIT, unfit=UNFIT)
        many = _measure(stack, server, connection)
        clear(connection)
    return few, many


def _measure(stack: Stack, server: Server, connection: Session) -> Costs:
    with fleet(connection), dispatcher(stack) as run_once:
        run_once()
        # Each round places its own count beside what waits already; what counts is the price of one.
        placed = min(dispatcher_seconds(connection, run_once, 1000) for _ in range(8))
    with fleet(connection) as workers:
        bare = min(bare_seconds(connection, workers, 1000) for _ in range(8))
    # What was filled in is on the disk before anything is read.
    connection.execute("CHECKPOINT")
    return Costs(placed, bare, tuple(_list_seconds(server, path) for path in LISTS))


def _list_seconds(server: Server, path: str) -> float:
    seconds = []
    for _ in range(60):
        started = time.perf_counter()
        server.client.ok("GET", path)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def fill(connection: Session, *, finished: int, waiting: int, unfit: int) -> None:
    """Write rows without what triggers would make of each: history and notifications are not what is measured."""
    connection.execute("SET session_replication_role = replica")
    for count, action, status, selector in (
        (finished, "bench.noop", "completed", None),
        (unfit, "bench.hello", "requested", '{"nowhere": "at all"}'),
        (waiting, "bench.hello", "requested", '{"nowhere": "either"}'),
    ):
        connection.execute(
            "INSERT INTO execution (action, action_ref, config, status, result, worker_selector, created, updated)"
            " SELECT a.id, a.ref, '{}', CASE WHEN %(status)s = 'completed' AND n %% 10 = 0 THEN 'failed'"
            '        ELSE %(status)s END::execution_status_enum, \'{"exit_code": 0, "stdout": ""}\','
            "        %(selector)s::jsonb, now() - (%(count)s - n) * interval '50 milliseconds', now()"
            "   FROM action a, generate_series(1, %(count)s) AS n WHERE a.ref = %(action)s",
            {"status": status, "count": count, "selector": selector, "action": action},
        )
    connection.execute("RESET session_replication_role")
    connection.execute("VACUUM ANALYZE execution")


def clear(connection: Session) -> None:
    """Take the rows away."""
    connection.execute("TRUNCATE execution CASCADE")
