"""The values of an execution: which time limit applies."""

from __future__ import annotations

from typing import Any

import pytest

from agent.execution.model import Action, Execution, effective_timeout


@pytest.mark.parametrize(
    ("task", "of_action", "default", "expected"),
    [
        ({"timeout_seconds": 5}, 60, 300.0, 5),
        ({"timeout_seconds": 0}, 60, 300.0, 60),
        ({"timeout_seconds": -1}, 60, 300.0, 60),
        ({"timeout_seconds": None}, 60, 300.0, 60),
        ({"timeout_seconds": "5"}, 60, 300.0, 60),
        ({"timeout_seconds": True}, 60, 300.0, 60),
        ({}, None, 300.0, 300.0),
        (None, 0, 300.0, 300.0),
        (None, None, 0, None),
        (None, 7, 0, 7),
        ("odd", None, 1.5, 1.5),
        (None, 2_592_000, 300.0, 2_592_000),
        (None, 2**31 - 1, 300.0, 2**31 - 1),
        ({"timeout_seconds": 10**400}, 60, 300.0, None),
        ({"timeout_seconds": float("inf")}, 60, 300.0, None),
        ({"timeout_seconds": float("nan")}, 60, 300.0, 60),
    ],
)
def test_the_task_limits_before_the_action_before_the_worker(
    task: Any, of_action: int | None, default: float, expected: float | None
) -> None:
    action = Action(55, "ops.x", 12, "ops", "x.sh", timeout_seconds=of_action)
    assert effective_timeout(Execution(1, 55, "ops.x", workflow_task=task), action, default) == expected
