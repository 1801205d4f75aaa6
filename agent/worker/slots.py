"""The slots: each runs one execution at a time, from its assignment to its report, in one thread."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Sequence
from functools import partial

from agent.counters import COUNTERS
from agent.execution.action_runner import ActionRunner
from agent.execution.arrivals import Arrivals
from agent.execution.model import Assignment
from agent.execution.report import Report
from agent.execution.running import RunningExecutions
from agent.threads import ThreadGroup

log = logging.getLogger(__name__)


class Slots:
    """``assign`` never blocks: the coordinator claims no more than there are free slots."""

    def __init__(
        self,
        scores: Sequence[int | None],
        *,
        runner: ActionRunner,
        running: RunningExecutions,
        report: Callable[[Report], None],
        arrivals: Arrivals | None = None,
    ) -> None:
        """Make a slot for each of ``scores``, which mark its jobs' processes; pass each job's end to ``report``."""
        self.count = len(scores)
        self.scores = scores
        self._runner = runner
        self._running = running
        self._report = report
        self._arrivals = arrivals or Arrivals()
        self._assignments: queue.SimpleQueue[Assignment | None] = queue.SimpleQueue()

    def start(self, threads: ThreadGroup) -> None:
        """Start the slots' threads."""
        for number, score in enumerate(self.scores, start=1):
            threads.start(f"slot-{number}", partial(self._run, score))

    def assign(self, assignment: Assignment) -> None:
        """Run a claimed execution in the next free slot."""
        self._assignments.put(assignment)

    def stop(self) -> None:
        """End each slot after what it is doing."""
        for _ in range(self.count):
            self._assignments.put(None)

    def _run(self, score: int | None) -> None:
        while (assignment := self._assignments.get()) is not None:
            self._run_one(assignment, score)
            assignment = None  # what is large in it must not wait here for the next one

    def _run_one(self, assignment: Assignment, score: int | None) -> None:
        execution_id = assignment.claim.execution.id
        told = log.isEnabledFor(logging.INFO)
        about = {"execution": execution_id, "action": assignment.claim.execution.action_ref} if told else {}
        arrival = self._arrivals.take(execution_id)
        if told:
            log.info("execution begins", extra=about)
        if arrival is not None:
            COUNTERS.observe("attune_worker_queue_wait_seconds", time.monotonic() - arrival.at)
        trace = None if arrival is None else arrival.traceparent
        report = self._runner.run(assignment, self._running.token_of(execution_id), score, trace)
        _count(report)
        if told:
            log.info("execution ended", extra=about | _end(report))
        # Handed over before it is forgotten: a drain that finds nothing running must find its report.
        self._report(report)
        self._running.remove(execution_id)


def _count(report: Report) -> None:
    COUNTERS.add("attune_worker_executions_total", status=report.status, cause=report.result.get("cause") or "")
    milliseconds = report.result.get("duration_ms")
    if isinstance(milliseconds, int):
        COUNTERS.observe("attune_worker_execution_duration_seconds", milliseconds / 1000)


def _end(report: Report) -> dict[str, object]:
    """Return what a log line says of an end; nothing that the action wrote is in it."""
    end = {
        "status": report.status,
        "duration_ms": report.result.get("duration_ms"),
        "cause": report.result.get("cause"),
        "runtime": report.runtime,
    }
    return {name: value for name, value in end.items() if value is not None}
