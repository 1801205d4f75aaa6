"""The values of one execution: what the database says about it and about its action (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

#: Why an execution did not complete (promise: the cause is recorded); stored in ``result.cause``.
Cause = Literal[
    "exit",
    "signal",
    "timeout",
    "cancelled",
    "oom",
    "spawn_failed",
    "environment_failed",
    "unmet_constraint",
    "worker_lost",
    "shutdown",
    "invalid",
    "secret_unavailable",
]

#: How an execution can end, as its row says it.
FinalStatus = Literal["completed", "failed", "cancelled", "abandoned"]


@dataclass(frozen=True, slots=True)
class Action:
    """The columns of ``action`` that running it needs; texts are as stored, checked where they are used."""

    id: int
    ref: str
    pack: int
    pack_ref: str
    entrypoint: str
    runtime: int | None = None
    runtime_version_constraint: str | None = None
    is_adhoc: bool = False
    parameter_delivery: str = "stdin"
    parameter_format: str = "json"
    output_format: str = "text"
    param_schema: Mapping[str, Any] | None = None
    out_schema: Mapping[str, Any] | None = None
    timeout_seconds: int | None = None
    log_retention_policy: str | None = None
    log_retention_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """The columns of ``execution`` that running it needs, with what is joined from its enforcement and its parent.

    ``config`` is the parameter map with secrets still redacted. ``rule_ref`` and ``trigger_ref`` come from the
    enforcement; ``parent_action_ref`` from the parent execution.
    """

    id: int
    action: int | None
    action_ref: str
    config: Any = None
    env_vars: Any = None
    parent: int | None = None
    enforcement: int | None = None
    executor: int | None = None
    permission_set_refs: Sequence[str] = ()
    workflow_task: Mapping[str, Any] | None = None
    started_at: datetime | None = None
    rule_ref: str | None = None
    trigger_ref: str | None = None
    parent_action_ref: str | None = None


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A row of ``key``; ``owner_pack`` and ``owner_action`` are ids, None where the scope has no such owner.

    ``problem`` says why its value can't be read: another key's is not affected.
    """

    owner_type: str
    ref: str
    name: str
    encrypted: bool
    encryption_key_hash: str | None
    value: Any
    owner_pack: int | None = None
    owner_action: int | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class CutOut:
    """A row of ``execution_secret_value``: what was cut out of the parameters at ``json_path`` (RFC 6901)."""

    json_path: str
    encrypted_value: Any
    encryption_key_hash: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """An execution that is ours now, with what must be read fresh for each one.

    ``stamp`` changes whenever the action's definition does, ``runtime_stamp`` whenever its runtime's or one of its
    versions' does. ``keys`` are the stored secrets of its scopes, ``cut_out`` those taken out of its own parameters.
    ``problem`` says why it can't be run at all.
    """

    execution: Execution
    action_id: int | None
    stamp: str
    runtime_stamp: str
    keys: tuple[StoredKey, ...]
    cut_out: tuple[CutOut, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """A claimed execution on its way to a slot; ``action`` is None when it doesn't exist."""

    claim: Claim
    action: Action | None


#: A century, in seconds.
_LONGEST_TIMEOUT = 3_155_760_000


def effective_timeout(execution: Execution, action: Action, default: float) -> float | None:
    """Return the seconds this execution may take, or None for no limit (promise: every execution has limits).

    The workflow task's limit wins over the action's, which wins over ``default``; only positive numbers count, and a
    ``default`` of 0 means no limit. One that nobody lives to see (JSON knows no largest number) is none either.
    """
    task = execution.workflow_task
    for limit in (task.get("timeout_seconds") if isinstance(task, Mapping) else None, action.timeout_seconds, default):
        if isinstance(limit, int | float) and not isinstance(limit, bool) and limit > 0:
            return limit if limit <= _LONGEST_TIMEOUT else None
    return None
