"""The end of a drain says truly whether everything was reported."""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import MagicMock

import pytest

from agent.configuration import load_settings
from agent.execution.running import RunningExecutions
from agent.process.stop_signals import StopSignals
from agent.worker.service import StartupMode, WorkerService


def drained(*, stuck: bool, settled: bool = True, flushed: bool = True) -> int:
    """Drain at once; ``stuck``: a slot never comes back with its execution. Return the exit code."""
    running = RunningExecutions()
    if stuck:
        running.add([7])
    parts: Any = MagicMock()
    parts.running = running
    parts.consumers = {name: MagicMock() for name in ("executions", "packs", "cancel")}
    parts.coordinator.settled.return_value = settled
    parts.publisher.flush.return_value = flushed
    service = WorkerService(load_settings({}), StartupMode.AGENT, StopSignals())
    base: Any = MagicMock()
    service._drain(base, parts, time.monotonic())
    running.remove(7)
    assert base.registration.set_drained.called is (service.exit_code == 0)
    return service.exit_code


def test_everything_was_reported() -> None:
    assert drained(stuck=False) == 0


@pytest.mark.parametrize(
    "trouble", [{"stuck": True}, {"stuck": False, "settled": False}, {"stuck": False, "flushed": False}]
)
def test_whatever_is_not_reported_is_told_by_the_exit_code(trouble: dict[str, bool]) -> None:
    assert drained(**trouble) == 75
