"""The slots: each runs one execution at a time, from its assignment to its report, in one thread."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable

from agent.execution.action_runner import ActionRunner
from agent.execution.model import Assignment
from agent.execution.report import Report
from agent.execution.running import RunningExecutions
from agent.threads import ThreadGroup

log = logging.getLogger(__name__)


class Slots:
    """``assign`` never blocks: the coordinator claims no more than there are free slots."""

    def __init__(
        self, count: int, *, runner: ActionRunner, running: RunningExecutions, report: Callable[[Report], None]
    ) -> None:
        """Run at most ``count`` executions at a time and pass each one's end to ``report``."""
        self.count = count
        self._runner = runner
        self._running = running
        self._report = report
        self._assignments: queue.SimpleQueue[Assignment | None] = queue.SimpleQueue()

    def start(self, threads: ThreadGroup) -> None:
        """Start the slots' threads."""
        for number in range(1, self.count + 1):
            threads.start(f"slot-{number}", self._run)

    def assign(self, assignment: Assignment) -> None:
        """Run a claimed execution in the next free slot."""
        self._assignments.put(assignment)

    def stop(self) -> None:
        """End each slot after what it is doing."""
        for _ in range(self.count):
            self._assignments.put(None)

    def _run(self) -> None:
        while (assignment := self._assignments.get()) is not None:
            execution_id = assignment.claim.execution.id
            # Handed over before it is forgotten: a drain that finds nothing running must find its report.
            self._report(self._runner.run(assignment, self._running.token_of(execution_id)))
            self._running.remove(execution_id)
