"""A slot says when an execution begins and how it ended, and never what it wrote."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from agent.execution.action_runner import ActionRunner
from agent.execution.model import Assignment, Claim, Execution
from agent.execution.report import Report
from agent.execution.running import RunningExecutions
from agent.threads import ThreadGroup
from agent.worker.slots import Slots


class Runner:
    """Ends every execution at once."""

    def run(self, assignment: Assignment, *_: Any) -> Report:
        """Fail it."""
        execution = assignment.claim.execution
        result = {"succeeded": False, "cause": "exit", "duration_ms": 12, "error": "written-by-the-action"}
        return Report(execution.id, 1, execution.action_ref, "failed", result)


def test_an_execution_has_a_line_at_its_beginning_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    reports: list[Report] = []
    running = RunningExecutions()
    slots = Slots([None], runner=cast("ActionRunner", Runner()), running=running, report=reports.append)
    running.add([7])
    threads = ThreadGroup()
    with caplog.at_level(logging.INFO):
        slots.start(threads)
        slots.assign(Assignment(Claim(Execution(7, 1, "ops.rotate"), 1, "", "", (), ()), None))
        slots.stop()
        threads.join(10)
    begin, end = [record.__dict__ for record in caplog.records if record.name == "agent.worker.slots"]
    assert (begin["message"], begin["execution"], begin["action"]) == ("execution begins", 7, "ops.rotate")
    assert (end["message"], end["status"], end["cause"], end["duration_ms"]) == (
        "execution ended",
        "failed",
        "exit",
        12,
    )
    assert "written-by-the-action" not in str(end)
    assert len(reports) == 1
