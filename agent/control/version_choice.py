"""Explain, worker by worker, which version of its runtime an action gets, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agent.control.fleet import Worker, workers
from agent.db.named_statements import Statements
from agent.db.pool import Database
from agent.errors import NotFound
from agent.runtimes.model import Runtime, RuntimeVersion
from agent.runtimes.names import language_of
from agent.runtimes.store import load_runtimes
from agent.runtimes.version_explanation import VersionExplanation, base_of_worker, checks_of_worker, explain_versions


@dataclass(frozen=True)
class WorkerExplanation:
    """What one worker would run; ``alive``: its heartbeat is fresh."""

    worker: str
    alive: bool
    explanation: VersionExplanation


@dataclass(frozen=True)
class ActionExplanation:
    """An action's demand and every worker's answer; ``runtime`` is None for an action that needs none."""

    action: str
    runtime: str | None
    constraint: str | None
    workers: tuple[WorkerExplanation, ...]


class _ActionRuntime(NamedTuple):
    runtime: int | None
    constraint: str | None


def explain_action(database: Database, action_ref: str, worker: str | None = None) -> ActionExplanation:
    """Explain for all workers, or for the one that is named.

    Raises:
        NotFound: there is no such action or worker.
        DatabaseError: the database can't be read.
    """
    with database.connection() as connection:
        row = Statements("agent.control").one(connection, _ActionRuntime, "action_runtime", {"ref": action_ref})
    if row is None:
        raise NotFound(f"there is no action {action_ref}", hint="attune action list shows all")
    stored = load_runtimes(database)
    runtime = next((item for item in stored.runtimes if item.id == row.runtime), None)
    if runtime is None:
        return ActionExplanation(action_ref, None, row.constraint, ())
    rows = [item for item in stored.versions if item.runtime == runtime.id]
    found = [item for item in workers(database) if worker is None or item.name == worker]
    if worker is not None and not found:
        raise NotFound(f"there is no worker {worker}", hint="attune worker list shows all")
    answers = tuple(_explain(item, runtime, rows, row.constraint) for item in found)
    return ActionExplanation(action_ref, runtime.ref, row.constraint, answers)


def _explain(
    worker: Worker, runtime: Runtime, rows: Sequence[RuntimeVersion], constraint: str | None
) -> WorkerExplanation:
    explanation = explain_versions(
        checks_of_worker(rows, worker.offers, language_of(runtime.name, runtime.ref)),
        constraint,
        base=base_of_worker(worker.offers, runtime.name, runtime.ref),
        runtime=runtime.name,
        language=language_of(runtime.name, runtime.ref),
    )
    return WorkerExplanation(worker.name, worker.alive, explanation)
