"""Which messages follow from a committed row (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agent.execution.model import Claim
from agent.execution.report import Finished
from agent.mq.broker import Outgoing
from agent.mq.outgoing_messages import execution_completed, status_changed


def announce_claim(claim: Claim) -> Outgoing:
    """Tell that an execution is running."""
    execution = claim.execution
    assert execution.started_at is not None  # the claim has set it
    return status_changed(execution.id, execution.action_ref, "scheduled", "running", changed_at=execution.started_at)


def announce_end(done: Finished) -> list[Outgoing]:
    """Tell that an execution that ran here has ended."""
    report = done.report
    return announce_finish(
        report.execution_id,
        report.action_id,
        report.action_ref,
        report.status,
        done.result,
        done.updated,
        previous=done.previous_status,
    )


def announce_finish(
    execution_id: int,
    action_id: int | None,
    action_ref: str,
    status: str,
    result: Mapping[str, Any],
    ended_at: datetime,
    *,
    previous: str,
) -> list[Outgoing]:
    """Tell that an execution has ended as its row says; without an action the contract has no completion."""
    changed = status_changed(execution_id, action_ref, previous, status, changed_at=ended_at)
    if action_id is None:
        return [changed]
    return [changed, announce_completion(execution_id, action_id, action_ref, status, result, ended_at)]


def announce_completion(
    execution_id: int, action_id: int, action_ref: str, status: str, result: Mapping[str, Any], ended_at: datetime
) -> Outgoing:
    """Tell the executor that an execution is over: it releases its concurrency slot and advances workflows."""
    return execution_completed(execution_id, action_id, action_ref, status, result, completed_at=ended_at)
