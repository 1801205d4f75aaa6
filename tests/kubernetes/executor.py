"""Schedules as Attune's executor does: requested rows go to an active worker that has their runtime, in turn."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika.exceptions
import psycopg
from psycopg.rows import dict_row

from agent.mq import topology
from tests.services.deployment import Deployment, dispatch_payload, envelope
from tests.services.wire import RabbitWire

_WAITING = """
SELECT e.id, e.action_ref, e.config, array(SELECT lower(x) FROM unnest(r.name || r.aliases) x) AS runtimes
  FROM execution e JOIN action a ON a.id = e.action JOIN runtime r ON r.id = a.runtime
 WHERE e.status = 'requested' ORDER BY e.id
"""
_WORKERS = """
SELECT w.id, w.capabilities #>> '{labels,attune.io/pool}' AS pool,
       array(SELECT lower(x) FROM jsonb_array_elements_text(w.capabilities -> 'runtimes') x) AS runtimes,
       (SELECT count(*) FROM execution e WHERE e.worker = w.id AND e.status IN ('scheduled', 'running')) AS load
  FROM worker w
 WHERE w.status = 'active' AND NOT w.cordoned AND w.last_heartbeat > now() - interval '90 seconds'
"""


class Executor:
    """Runs in a thread of its own beside a deployment; ``pool`` names the only pods that get work."""

    def __init__(self, deployment: Deployment) -> None:
        """Connect to the deployment's database and broker."""
        self.pool: str | None = None
        self._deployment = deployment
        self._wire = RabbitWire(deployment.wire.url)
        self._stop = threading.Event()

    def run(self) -> None:
        """Schedule until ``stop``; while the broker is away nothing is scheduled."""
        with self._deployment.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            while not self._stop.wait(0.1):
                with contextlib.suppress(pika.exceptions.AMQPError, OSError):
                    self._round(cursor)
        self._wire.close()

    def stop(self) -> None:
        """End ``run``."""
        self._stop.set()

    def _round(self, cursor: psycopg.Cursor[dict[str, Any]]) -> None:
        waiting = cursor.execute(_WAITING).fetchall()
        workers = cursor.execute(_WORKERS).fetchall() if waiting and self._wire.channel else []
        for execution in waiting:
            fitting = [
                worker
                for worker in workers
                if set(worker["runtimes"]) & set(execution["runtimes"]) and self.pool in (None, worker["pool"])
            ]
            if fitting:
                chosen = min(fitting, key=lambda worker: worker["load"])
                chosen["load"] += 1
                self._schedule(cursor, execution, chosen["id"])

    def _schedule(self, cursor: psycopg.Cursor[dict[str, Any]], execution: dict[str, Any], worker: int) -> None:
        row = cursor.execute(
            "UPDATE execution SET status = 'scheduled', worker = %s WHERE id = %s AND status = 'requested'"
            " RETURNING updated",
            [worker, execution["id"]],
        ).fetchone()
        if row is not None:
            payload = dispatch_payload(
                execution["id"], worker, execution["action_ref"], execution["config"], row["updated"]
            )
            body, message_id = envelope("ExecutionRequested", payload, source="executor")
            self._wire.publish(topology.EXECUTIONS, topology.dispatch_key(worker), body, message_id)


@contextmanager
def scheduling(deployment: Deployment) -> Iterator[Executor]:
    """Run an executor for the length of the block."""
    executor = Executor(deployment)
    thread = threading.Thread(target=executor.run, name="executor", daemon=True)
    thread.start()
    try:
        yield executor
    finally:
        executor.stop()
        thread.join(10)
