"""The rows that this room's statements return, column by column in the order of the SQL; each name is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple


class ClaimedRow(NamedTuple):
    """A row of ``claimed_rows``: the execution, what is joined to it, its stamps and its secrets."""

    execution_id: int
    action: int | None
    action_ref: str
    config: Any
    env_vars: Any
    parent: int | None
    enforcement: int | None
    executor: int | None
    permission_set_refs: Sequence[str]
    workflow_task: Mapping[str, Any] | None
    started_at: datetime
    rule_ref: str | None
    trigger_ref: str | None
    parent_action_ref: str | None
    stamp: str | None
    runtime_stamp: str
    keys: Sequence[Mapping[str, Any]] | None
    cut_out: Sequence[Mapping[str, Any]] | None


class FinishedRow(NamedTuple):
    """A row of ``finished_rows``: the status before the end was written, and the files that the action allocated."""

    finished_id: int
    previous: str
    allocated: Sequence[Mapping[str, Any]] | None
    updated: datetime


class LogVersionRow(NamedTuple):
    """A version that was made for a log, and where its file belongs."""

    id: int
    execution: int
    stream: str
    file_path: str


class ExecutionStatus(NamedTuple):
    """Where an execution stands that could not be claimed."""

    id: int
    status: str
    worker: int | None


class RecordedEnd(NamedTuple):
    """What the row of an execution says now."""

    id: int
    status: str
    result: Any
    updated: datetime


class EndedExecution(NamedTuple):
    """An execution that has ended, with all that its messages say."""

    id: int
    action: int | None
    action_ref: str
    status: str
    result: Any
    updated: datetime


class OrphanedExecution(NamedTuple):
    """An execution that the previous process of this worker left running or being cancelled."""

    id: int
    action: int | None
    action_ref: str
    status: str


class RequestedExecution(NamedTuple):
    """An execution that was handed back, with all that the request for another worker says."""

    id: int
    action: int | None
    action_ref: str
    parent: int | None
    enforcement: int | None
    config: Any
    updated: datetime
