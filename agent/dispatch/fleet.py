"""The workers as the dispatcher sees them in one round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from psycopg.rows import dict_row

from agent.db.pool import Connection
from agent.db.queries import load_queries
from agent.placement.candidate import Candidate, candidate_of
from agent.placement.fit import absence


@dataclass(frozen=True)
class Fleet:
    """All workers that may get something or have something in hand.

    ``scheduled`` counts what each hasn't begun, ``changed`` says when its row was changed.
    """

    workers: tuple[Candidate, ...]
    scheduled: Mapping[int, int]
    changed: Mapping[int, datetime] = field(default_factory=dict)

    @property
    def ready(self) -> list[tuple[Candidate, datetime]]:
        """Those that may get work now, slots aside, and when the row of each was changed."""
        return [(one, self.changed[one.id]) for one in self.workers if absence(one) is None]

    def get(self, worker_id: int | None) -> Candidate | None:
        """Return a worker, None when it is unknown or has left."""
        return next((one for one in self.workers if one.id == worker_id), None)

    def running(self, worker: Candidate) -> int:
        """How many executions the worker has begun."""
        return worker.in_hand - self.scheduled.get(worker.id, 0)


def read_fleet(connection: Connection) -> Fleet:
    """Read the fleet as the transaction sees it. Raises psycopg.Error."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(load_queries("agent.dispatch")["fleet"].encode()).fetchall()
    scheduled = {row["id"]: row["scheduled"] for row in rows}
    changed = {row["id"]: row["updated"] for row in rows}
    return Fleet(tuple(candidate_of(row) for row in rows), scheduled, changed)


def reserve(worker: Candidate) -> int:
    """How many executions may wait beside a worker, beyond its slots.

    Enough that a worker of short jobs never waits for the network. A worker that runs whatever it is told to, even
    twice, gets none: what waits there could not be taken back.
    """
    return max(2, worker.slots // 2) if worker.guarded else 0
