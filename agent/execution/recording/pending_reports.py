"""The ends of executions that the database does not hold for certain yet: in memory, and on disk once it failed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from functools import partial

from agent.execution.recording.spool import Spool
from agent.execution.report import Finished, Report

log = logging.getLogger(__name__)


class PendingReports:
    """What writes down, waits or expects may be called from any thread, all else by the one that writes.

    ``waiting`` are those to be written next, in the order in which they came; the thread that writes adds to it what it
    takes in.
    """

    def __init__(self, spool: Spool) -> None:
        """Keep on disk, in ``spool``, what can't be written."""
        self.waiting: list[Report] = []
        self._spool = spool
        #: What is not written, and since when, in the order in which it came.
        self._expected: dict[int, tuple[float, Report]] = {}
        self._changed = threading.Condition()
        self._uncertain: set[int] = set()
        #: Those of the uncertain that were written once more, in vain: they were ended before, by us or somebody else.
        self._refused: set[int] = set()
        self._some = threading.Event()

    def expect(self, report: Report) -> None:
        """Count a report as pending from now on, also while it is still on its way to the thread that writes."""
        with self._changed:
            self._expected[report.execution_id] = time.monotonic(), report
        if not self._some.is_set():
            self._some.set()

    def settled(self, timeout: float) -> bool:
        """Wait until none is left; False when ``timeout`` seconds were not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._expected, timeout)

    def keep_all(self) -> None:
        """Write down all that are left."""
        self.keep_old(0.0)

    def keep_old(self, seconds: float) -> None:
        """Write down those that have waited so long."""
        before = time.monotonic() - seconds
        with self._changed:
            old = [report for since, report in self._expected.values() if since <= before]
        for report in old:
            self._spool.keep(report, still=partial(self._is_expected, report))

    def wait_for_some(self, timeout: float) -> bool:
        """Wait until there may be one; False when there was none for ``timeout`` seconds."""
        with self._changed:
            if not self._expected:
                self._some.clear()
        return self._some.wait(timeout)

    def _is_expected(self, report: Report) -> bool:
        with self._changed:
            return self._expected.get(report.execution_id, (0.0, None))[1] is report

    def doubt(self, reports: Iterable[Report]) -> None:
        """Note that these may have been written although nobody heard of it."""
        self._uncertain.update(report.execution_id for report in reports)

    def trust(self, reports: Sequence[Report], finished: Sequence[Finished]) -> list[Report]:
        """Note that the database has answered; return those of ``reports`` that are certain now.

        What was in doubt and is not among the ``finished`` may have been written by the attempt before, whose answer
        was lost: only another look can tell, and comes next.
        """
        written = {done.report.execution_id for done in finished}
        unclear = {report.execution_id for report in reports} & self._uncertain - written
        self._refused |= unclear
        self._uncertain = self._uncertain & unclear | self._refused
        return [report for report in reports if report.execution_id not in unclear]

    def doubtful(self) -> list[Report]:
        """Return those that may have been written already."""
        return [report for report in self.waiting if report.execution_id in self._uncertain]

    def forget_looked_at(self, reports: Sequence[Report], finished: Sequence[Finished]) -> None:
        """Forget those of the doubtful ``reports`` that were written, and those that can't be written any more."""
        written = {done.report.execution_id for done in finished}
        self.forget([r for r in reports if r.execution_id in written | self._refused], finished)

    def forget(self, reports: Sequence[Report], finished: Sequence[Finished]) -> None:
        """Forget ``reports``, which are over; what is not in ``finished`` was ended by somebody else."""
        if not reports:
            return
        written = {done.report.execution_id for done in finished}
        over = {report.execution_id for report in reports}
        with self._changed:
            for execution_id in over:
                self._expected.pop(execution_id, None)
            self._changed.notify_all()
        for report in reports:
            self._spool.remove(report)
            if report.execution_id not in written:
                log.warning(
                    "execution %d was ended by another program before it was %s: its row is left unchanged",
                    report.execution_id,
                    report.status,
                )
        self.waiting = [report for report in self.waiting if report.execution_id not in over]
        self._uncertain -= over
        self._refused -= over

    def replace(self, report: Report, other: Report) -> None:
        """Write ``other`` for the same execution instead."""
        self.waiting = [other if one is report else one for one in self.waiting]
        self.expect(other)
