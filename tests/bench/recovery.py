"""How soon an agent works again after an outage, and how soon it ends what is cancelled."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.stack import Stack, add_action, start_agent, stop_agent
from tests.bench.workload import Workload
from tests.services.proxy import Proxy, broker_proxy, database_proxy, until

#: Seconds that a server is away, long enough for pauses between attempts to have grown.
_OUTAGE = 12.0
_ROUNDS = 5
_GRACE = 5.0


@dataclass(frozen=True)
class Recovery:
    """The longest in seconds; the dead groups' beyond the grace."""

    consuming: float
    written: float
    dead: float


def recovery(stack: Stack) -> Recovery:
    """Take the broker away, then the database, several times; cancel jobs that ignore SIGTERM."""
    gate, pids = stack.directory / "gate", stack.directory / "pids"
    add_action(stack, "gate", f"while [ ! -e {gate} ]; do sleep 0.02; done\n")
    add_action(stack, "stubborn", f"trap '' TERM\n(trap '' TERM; sleep 60) &\necho $$ >> {pids}\nwait\n")
    with _behind_proxies(stack) as (database, broker, work):
        consuming = [_seconds_to_consume(broker, work) for _ in range(_ROUNDS)]
        written = [_seconds_to_write(database, work, gate) for _ in range(_ROUNDS)]
        dead = [_seconds_to_die(work, pids) - _GRACE for _ in range(3)]
    return Recovery(*map(max, (consuming, written, dead)))


@contextmanager
def _behind_proxies(stack: Stack) -> Iterator[tuple[Proxy, Proxy, Workload]]:
    with database_proxy(stack.database_url) as (database, url), broker_proxy(stack.broker_url) as (broker, amqp):
        agent, worker_id = start_agent(stack, ATTUNE__DATABASE__URL=url, ATTUNE__MESSAGE_QUEUE__URL=amqp)
        work = Workload(stack, worker_id)
        yield database, broker, work
        work.purge()
        work.close()
        stop_agent(stack, agent)


def _seconds_to_consume(broker: Proxy, work: Workload) -> float:
    broker.refuse()
    time.sleep(_OUTAGE)
    broker.accept()
    return _seconds_until_ended(work, *work.run("bench.noop"))


def _seconds_to_write(database: Proxy, work: Workload, gate: Path) -> float:
    gate.unlink(missing_ok=True)
    (execution_id,) = work.run("bench.gate")
    until(lambda: work.status(execution_id) == "running", "the start")
    database.refuse()
    gate.touch()
    time.sleep(_OUTAGE)
    database.accept()
    return _seconds_until_ended(work, execution_id)


def _seconds_until_ended(work: Workload, execution_id: int) -> float:
    began = time.perf_counter()
    until(lambda: work.status(execution_id) == "completed", "the end")
    return time.perf_counter() - began


def _seconds_to_die(work: Workload, pids: Path) -> float:
    pids.unlink(missing_ok=True)
    (execution_id,) = work.run("bench.stubborn")
    until(lambda: pids.exists() and pids.read_text().strip(), "the start")
    group = int(pids.read_text())
    work.cancel(execution_id)
    began = time.perf_counter()
    until(lambda: not _lives(group), "the end of the group")
    return time.perf_counter() - began


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
