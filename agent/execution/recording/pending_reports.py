"""The ends of executions that the database does not hold for certain yet: in memory, and on disk once it failed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence

from agent.execution.recording.spool import Spool
from agent.execution.report import Finished, Report

log = logging.getLogger(__name__)


class PendingReports:
    """``expect``, ``settled`` and ``keep_all`` may be called from any thread, all else by the one that writes.

    ``waiting`` are those to be written next, in the order in which they came; the thread that writes adds to it what it
    takes in.
    """

    def __init__(self, spool: Spool) -> None:
        """Keep on disk, in ``spool``, what can't be written."""
        self.waiting: list[Report] = []
        self._spool = spool
        self._expected: dict[int, Report] = {}
        self._changed = threading.Condition()
        self._uncertain: set[int] = set()

    def expect(self, report: Report) -> None:
        """Count a report as pending from now on, also while it is still on its way to the thread that writes."""
        with self._changed:
            self._expected[report.execution_id] = report

    def settled(self, timeout: float) -> bool:
        """Wait until none is left; False when ``timeout`` seconds were not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._expected, timeout)

    def keep_all(self) -> None:
        """Write down all that are left."""
        with self._changed:
            for report in self._expected.values():
                self._spool.keep(report)

    def keep_waiting(self) -> None:
        """Write down those that wait."""
        for report in self.waiting:
            self._spool.keep(report)

    def doubt(self, reports: Iterable[Report]) -> None:
        """Note that these may have been written although nobody heard of it."""
        self._uncertain.update(report.execution_id for report in reports)

    def trust(self) -> None:
        """Forget all doubts: the database has answered."""
        self._uncertain.clear()

    def doubtful(self) -> list[Report]:
        """Return those that may have been written already."""
        return [report for report in self.waiting if report.execution_id in self._uncertain]

    def forget(self, reports: Sequence[Report], finished: Sequence[Finished], *, only_written: bool = False) -> None:
        """Forget ``reports`` that are over; ``only_written`` keeps those that are not in ``finished`` for another try.

        Without it, what is not in ``finished`` was ended by somebody else.
        """
        if not reports:
            return
        written = {done.report.execution_id for done in finished}
        over = {report.execution_id for report in reports if not only_written or report.execution_id in written}
        for report in reports:
            if report.execution_id not in over:
                continue
            self._spool.remove(report)
            if report.execution_id not in written:
                log.warning(
                    "execution %d was ended by another program before it was %s: its row is left unchanged",
                    report.execution_id,
                    report.status,
                )
        self.waiting = [report for report in self.waiting if report.execution_id not in over]
        with self._changed:
            for execution_id in over:
                self._expected.pop(execution_id, None)
            self._changed.notify_all()

    def replace(self, report: Report, other: Report) -> None:
        """Write ``other`` for the same execution instead."""
        self.waiting = [other if one is report else one for one in self.waiting]
        self.expect(other)
