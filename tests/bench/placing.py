"""How fast the dispatcher gives work away, against the bare statement that does it, and whether full tables slow it."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg

from agent.control.outbox import Outbox
from agent.db.pool import Database
from agent.dispatch.round import PlacementRound
from agent.settings import DatabaseSettings, DispatcherSettings, MessageQueueSettings, Settings
from tests.bench.stack import Stack

WORKERS, SLOTS, BATCH = 20, 1_000_000, 200
"""Workers that nobody runs, each with room for everything: what is measured is placing, not waiting."""

Session = psycopg.Connection[tuple[object, ...]]

_BARE = (
    "UPDATE execution SET status = 'scheduled', worker = %s WHERE status = 'requested' AND id = ANY(%s) RETURNING id"
)


@dataclass(frozen=True)
class Placing:
    """Executions placed in a second: by the bare guarded UPDATE in batches, and by the dispatcher; the median ratio."""

    bare: float
    dispatcher: float
    ratio: float


@contextlib.contextmanager
def fleet(connection: Session) -> Iterator[list[int]]:
    """Register the workers for the length of the block; no other worker may be active meanwhile."""
    rows = connection.execute(
        "INSERT INTO worker (name, worker_type, worker_role, status, last_heartbeat, capabilities)"
        " SELECT 'bench-' || n, 'local', 'action', 'active', clock_timestamp() + interval '1 hour',"
        "        jsonb_build_object('runtimes', '[\"shell\"]'::jsonb, 'guarded_claim', true,"
        "                           'max_concurrent_executions', %s::integer)"
        "   FROM generate_series(1, %s) AS n RETURNING id",
        [SLOTS, WORKERS],
    ).fetchall()
    try:
        yield [int(str(row[0])) for row in rows]
    finally:
        connection.execute("UPDATE worker SET status = 'inactive' WHERE name LIKE 'bench-%'")
        connection.execute(
            "DELETE FROM execution WHERE status IN ('requested', 'scheduled', 'running') AND action_ref = 'bench.noop'"
        )
        connection.execute("DELETE FROM worker WHERE name LIKE 'bench-%'")


def request(connection: Session, action: str, count: int) -> list[int]:
    """Write ``count`` rows as the API does; return their ids."""
    rows = connection.execute(
        "INSERT INTO execution (action, action_ref, config, status)"
        " SELECT a.id, a.ref, '{}', 'requested' FROM action a, generate_series(1, %s) WHERE a.ref = %s RETURNING id",
        [count, action],
    ).fetchall()
    return [int(str(row[0])) for row in rows]


def bare_seconds(connection: Session, workers: list[int], count: int) -> float:
    """Return what the bare statement costs for one execution, in transactions of ``BATCH``."""
    ids = request(connection, "bench.noop", count)
    started = time.perf_counter()
    for number, start in enumerate(range(0, count, BATCH)):
        connection.execute(_BARE, [workers[number % len(workers)], ids[start : start + BATCH]]).fetchall()
    return (time.perf_counter() - started) / count


@contextlib.contextmanager
def dispatcher(stack: Stack) -> Iterator[Callable[[], int]]:
    """Lend one round of a dispatcher whose messages go nowhere; it returns how many executions it placed."""
    settings = Settings(
        database=DatabaseSettings(url=stack.database_url),
        message_queue=MessageQueueSettings(url=stack.broker_url),
        dispatcher=DispatcherSettings(recall_after=3600.0, wait_for_worker=3600.0),
    )
    database = Database(settings.database, application_name="bench dispatcher")
    made = PlacementRound(database, settings, Outbox(in_database=False), lambda messages: None)
    try:
        yield lambda: made.run_once().placed
    finally:
        database.close()


def dispatcher_seconds(connection: Session, run_once: Callable[[], int], count: int) -> float:
    """Return what the dispatcher costs for one execution."""
    request(connection, "bench.noop", count)
    left, seconds = count, 0.0
    while left > 0:
        started = time.perf_counter()
        left -= run_once()
        seconds += time.perf_counter() - started
        # Workers that keep up have little in hand that they have not begun.
        connection.execute("UPDATE execution SET status = 'running' WHERE status = 'scheduled'")
    return seconds / count


def placing(stack: Stack, count: int = 1000, rounds: int = 10) -> Placing:
    """Measure both in turns, so that each pair had the same machine."""
    bares, placed = [], []
    with stack.connect() as connection, fleet(connection) as workers, dispatcher(stack) as run_once:
        for _ in range(rounds):
            bares.append(bare_seconds(connection, workers, count))
            forget(connection)
            placed.append(dispatcher_seconds(connection, run_once, count))
            forget(connection)
    ratio = statistics.median(one / other for one, other in zip(bares, placed, strict=True))
    return Placing(1 / statistics.median(bares), 1 / statistics.median(placed), ratio)


def forget(connection: Session) -> None:
    """Delete what was placed; what else is in the table stays."""
    connection.execute(
        "DELETE FROM execution WHERE status IN ('requested', 'scheduled', 'running') AND action_ref = 'bench.noop'"
    )
    connection.execute("VACUUM ANALYZE execution")
