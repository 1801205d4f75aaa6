"""Executions to run: rows scheduled for one worker and their dispatches, and the wait for their completions."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pika

from agent.mq import topology
from agent.mq.broker import Queue
from tests.bench.stack import Stack


class Workload:
    """Talks to the deployment as the executor does."""

    def __init__(self, stack: Stack, worker_id: int) -> None:
        """Make executions for the worker with this id."""
        self._stack = stack
        self._worker_id = worker_id
        self._database = stack.connect()
        self._broker = pika.BlockingConnection(pika.URLParameters(stack.broker_url))
        self.channel = self._broker.channel()

    def schedule(self, action: str, count: int) -> list[int]:
        """Insert ``count`` rows as the executor leaves them when it dispatches."""
        rows = self._database.execute(
            "INSERT INTO execution (action, action_ref, config, status, worker)"
            " SELECT a.id, a.ref, '{}', 'scheduled', %s FROM action a, generate_series(1, %s) WHERE a.ref = %s"
            " RETURNING id",
            [self._worker_id, count, action],
        ).fetchall()
        return [int(str(row[0])) for row in rows]

    def run(self, action: str, count: int = 1) -> list[int]:
        """Schedule and dispatch."""
        ids = self.schedule(action, count)
        for execution_id in ids:
            self.dispatch(execution_id, action)
        return ids

    def dispatch(self, execution_id: int, action: str) -> None:
        """Publish one dispatch."""
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        payload = {
            "execution_id": execution_id,
            "worker_id": self._worker_id,
            "action_ref": action,
            "config": {},
            "scheduled_attempt_updated_at": now,
        }
        self._publish(topology.dispatch_key(self._worker_id), "ExecutionRequested", payload, now)

    def cancel(self, execution_id: int) -> None:
        """Cancel a running execution as the API does."""
        self._database.execute("UPDATE execution SET status = 'canceling' WHERE id = %s", [execution_id])
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        payload = {"execution_id": execution_id, "worker_id": self._worker_id}
        self._publish(topology.cancel_key(self._worker_id), "ExecutionCancelRequested", payload, now)

    def _publish(self, key: str, kind: str, payload: Mapping[str, Any], now: str) -> None:
        message_id = str(uuid.uuid4())
        envelope = {
            "message_id": message_id,
            "correlation_id": message_id,
            "message_type": kind,
            "version": "1.0",
            "timestamp": now,
            "headers": {"retry_count": 0, "source_service": "executor"},
            "payload": payload,
        }
        self.channel.basic_publish(
            topology.EXECUTIONS,
            key,
            json.dumps(envelope).encode(),
            pika.BasicProperties(delivery_mode=2, content_type="application/json", message_id=message_id),
        )

    def status(self, execution_id: int) -> str:
        """Return an execution's status."""
        row = self._database.execute("SELECT status::text FROM execution WHERE id = %s", [execution_id]).fetchone()
        return "" if row is None else str(row[0])

    def discard_queue(self) -> None:
        """Forget all dispatches and executions that wait for the worker."""
        self.channel.queue_purge(topology.executions_queue(self._worker_id).name)
        self._database.execute("DELETE FROM execution WHERE status = 'scheduled'")

    def completions(self) -> int:
        """How many completions wait for the executor."""
        return self.depth(topology.COMPLETED)

    def depth(self, queue: Queue) -> int:
        """How many messages are in one of the executor's queues."""
        return int(self.channel.queue_declare(queue.name, passive=True).method.message_count)

    def wait_for_completions(self, count: int, timeout: float = 300) -> None:
        """Wait until ``count`` completions are in the executor's queue."""
        deadline = time.monotonic() + timeout
        while self.completions() < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {self.completions()} of {count} completions within {timeout:g} s")
            time.sleep(0.02)

    def purge(self) -> None:
        """Empty the executor's queues."""
        for queue in topology.EXECUTOR_QUEUES:
            self.channel.queue_purge(queue.name)

    def statuses(self) -> dict[str, int]:
        """Count executions by status."""
        rows = self._database.execute("SELECT status::text, count(*) FROM execution GROUP BY 1").fetchall()
        return {str(row[0]): int(str(row[1])) for row in rows}

    def close(self) -> None:
        """Close both connections."""
        self._broker.close()
        self._database.close()
