"""An end counts as pending from the moment it is handed over until the database has it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from agent.execution.recording.pending_reports import PendingReports
from agent.execution.recording.spool import Spool
from agent.execution.report import Finished, Report
from tests.unit.fakes.clock import START
from tests.unit.fakes.waiter import Waiter
from tests.unit.fakes.worker import report


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def pending(spool: Spool) -> PendingReports:
    return PendingReports(spool)


def taken_in(pending: PendingReports, *reports: Report) -> None:
    for one in reports:
        pending.expect(one)
        pending.waiting.append(one)


def written(one: Report) -> Finished:
    return Finished(one, "running", START, one.result)


def test_whoever_waits_for_all_to_be_written_is_woken_by_the_last(pending: PendingReports) -> None:
    taken_in(pending, report(1), report(2))
    waiter = Waiter(lambda: pending.settled(3600))
    for one in list(pending.waiting):
        pending.forget([one], [written(one)])
    assert waiter.answer()


def test_a_look_at_the_doubtful_leaves_what_was_not_written_for_another_try(pending: PendingReports) -> None:
    taken_in(pending, report(1), report(2))
    first, second = pending.waiting
    pending.doubt([first, second])
    pending.forget_looked_at([first, second], [written(first)])
    assert pending.waiting == [second]
    assert not pending.settled(0)


def test_what_was_in_doubt_and_could_not_be_written_is_looked_at_once_more_and_over_then(
    pending: PendingReports,
) -> None:
    taken_in(pending, report(1), report(2))
    first, second = pending.waiting
    pending.doubt([first])
    assert pending.trust([first, second], [written(second)]) == [second]
    assert pending.doubtful() == [first]
    pending.forget_looked_at([first], [])
    assert pending.waiting == [second]


def test_only_what_waits_for_long_is_kept_on_disk(pending: PendingReports, spool: Spool) -> None:
    pending.expect(report(1))
    pending.keep_old(60)
    assert list(spool.waiting()) == []
    pending.keep_old(0)
    assert [one.execution_id for one in spool.waiting()] == [1]


def test_what_somebody_else_has_ended_is_over_and_said(
    pending: PendingReports, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    taken_in(pending, report(1), report(2))
    first, second = pending.waiting
    pending.forget([first, second], [written(first)])
    assert pending.settled(0)
    assert "execution 2 was ended by" in caplog.text
    assert "execution 1" not in caplog.text


def test_what_came_meanwhile_is_not_forgotten_with_the_others(pending: PendingReports) -> None:
    taken_in(pending, report(1))
    exchanged = list(pending.waiting)
    taken_in(pending, report(2))
    pending.forget(exchanged, [written(one) for one in exchanged])
    assert [one.execution_id for one in pending.waiting] == [2]


def test_what_is_written_leaves_the_disk(pending: PendingReports, spool: Spool) -> None:
    taken_in(pending, report(1), report(2))
    pending.keep_all()
    assert len(list(spool.waiting())) == 2
    first = pending.waiting[0]
    pending.forget([first], [written(first)])
    assert [one.execution_id for one in spool.waiting()] == [2]


def test_at_the_end_everything_goes_to_the_disk_also_what_is_still_on_its_way(
    pending: PendingReports, spool: Spool
) -> None:
    taken_in(pending, report(1))
    pending.expect(report(2))
    pending.keep_all()
    assert [one.execution_id for one in spool.waiting()] == [1, 2]


def test_doubts_are_about_what_waits_and_end_with_an_answer(pending: PendingReports) -> None:
    taken_in(pending, report(1), report(2))
    first = pending.waiting[0]
    assert pending.doubtful() == []
    pending.doubt([first])
    assert pending.doubtful() == [first]
    pending.trust([first], [written(first)])
    assert pending.doubtful() == []


def test_another_report_takes_the_place_of_one_that_is_refused(pending: PendingReports) -> None:
    taken_in(pending, report(1), report(2))
    first, second = pending.waiting
    bare = report(1, "failed")
    pending.replace(first, bare)
    assert pending.waiting == [bare, second]
    pending.forget([bare], [written(bare)])
    assert not pending.settled(0)
