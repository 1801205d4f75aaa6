"""Executions as an operator sees them: list, look up, wait for, cancel."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from agent.control.cancelling import ENDED, cancel_row
from agent.control.parameter_values import ParameterSchema
from agent.control.submission import Send
from agent.db.error_translation import translated
from agent.db.named_statements import Statements
from agent.db.pool import Connection, Database
from agent.db.queries import load_queries
from agent.errors import AgentError, BrokerError, DatabaseUnavailable, NotFound

_PATIENCE, _RETRY = 60.0, 0.5
"""Seconds that a database may stay away while somebody waits, and between attempts."""


@dataclass(frozen=True)
class ExecutionSummary:
    """A row of ``execution``; ``parameters`` has the values of secret parameters masked."""

    id: int
    action_ref: str
    status: str
    worker: str | None
    worker_id: int | None
    parameters: dict[str, Any] | None
    result: Any
    created: datetime
    started_at: datetime | None
    updated: datetime

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in ENDED

    @property
    def seconds(self) -> float | None:
        """How long the action ran, or has been running; None when it never did."""
        if isinstance(self.result, dict) and isinstance(self.result.get("duration_ms"), int | float):
            return float(self.result["duration_ms"]) / 1000
        if self.started_at is None:
            return None
        end = self.updated if self.ended else datetime.now(UTC)
        return max(0.0, (end - self.started_at).total_seconds())

    @property
    def error(self) -> str | None:
        """What went wrong, if anything."""
        error = self.result.get("error") if isinstance(self.result, dict) else None
        return str(error) if error else None

    def as_document(self) -> dict[str, Any]:
        """Return it as the JSON that commands print."""
        return {**dataclasses.asdict(self), "seconds": self.seconds, "error": self.error}


def find(database: Database, execution_id: int) -> ExecutionSummary:
    """Return one execution.

    Raises:
        AgentError: there is none with this id.
    """
    with database.connection() as connection:
        return _find(connection, execution_id)


def recent(
    database: Database,
    *,
    limit: int = 20,
    status: str | None = None,
    action_ref: str | None = None,
    before: int | None = None,
) -> list[ExecutionSummary]:
    """Return the newest executions, newest first; ``before`` goes on below the one with that id."""
    values = {"limit": limit, "status": status, "action_ref": action_ref, "before": before}
    with database.connection() as connection:
        rows = connection.cursor(row_factory=dict_row).execute(_queries()["list_executions"], values)
        return [_execution(row) for row in rows]


def wait(
    database: Database,
    execution_id: int,
    *,
    timeout: float | None = None,
    on_change: Callable[[ExecutionSummary], None] = lambda execution: None,
    pause: float = 1.0,
) -> ExecutionSummary:
    """Return the execution when it has ended, or as it is after ``timeout`` seconds.

    ``on_change`` is called at once and then at least every ``pause`` seconds: notifications alone are not
    enough, because they are lost while a connection is down. A database that goes away is waited for.

    Raises:
        DatabaseUnavailable: it stayed away for a minute.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    seen = time.monotonic()
    while True:
        try:
            with contextlib.closing(database.connect(autocommit=True)) as connection:
                for execution in _looks(database, connection, execution_id, deadline, pause):
                    seen = time.monotonic()
                    on_change(execution)
            return execution
        except DatabaseUnavailable:
            if time.monotonic() - seen > _PATIENCE:
                raise
            time.sleep(_RETRY)


def cancel(database: Database, send: Send, execution_id: int) -> str:
    """End an execution: at once when nobody has begun it, else by asking its worker. Return its new status.

    Raises:
        AgentError: there is none with this id, or it has ended already.
        BrokerError: the request could not be sent; the execution stays ``canceling``, and may be cancelled again.
    """
    with database.connection() as connection:
        status, messages = cancel_row(connection, execution_id)
    try:
        for message in messages:
            send(message)
    except BrokerError:
        # Nobody has to do anything about what had not begun: its row says all.
        if status != "cancelled":
            raise
    return status


class Retried(NamedTuple):
    """An attempt that somebody asked for, and the first one of all."""

    id: int
    original_execution: int


def retry_execution(database: Database, execution_id: int) -> Retried:
    """Write a new execution like one that has ended.

    Raises:
        AgentError: there is none with this id, it has not ended, or its action was deleted.
    """
    values = {"id": execution_id, "executor": None, "reason": "asked for by hand"}
    with database.connection() as connection:
        before = _find(connection, execution_id)
        made = Statements("agent.control").one(connection, Retried, "copy_execution", values)
    if made is None:
        why = "its action was deleted" if before.ended else f"it is {before.status}"
        raise AgentError(f"execution {execution_id} can't be run again: {why}")
    return made


def _looks(
    database: Database, connection: Connection, execution_id: int, deadline: float | None, pause: float
) -> Iterator[ExecutionSummary]:
    """Yield the execution now, whenever it changes and every ``pause`` seconds, until it has ended or time is up."""
    with translated(database.address.label):
        connection.execute("LISTEN execution_status_changed")
        while True:
            execution = _find(connection, execution_id)
            yield execution
            left = pause if deadline is None else min(pause, deadline - time.monotonic())
            if execution.ended or left <= 0:
                return
            _nap(connection, execution_id, left)


def _queries() -> Any:
    return load_queries(__package__ or "")


def _find(connection: Connection, execution_id: int) -> ExecutionSummary:
    cursor = connection.cursor(row_factory=dict_row)
    row = cursor.execute(_queries()["execution_state"], {"id": execution_id}).fetchone()
    if row is None:
        raise _missing(execution_id)
    return _execution(row)


def _execution(row: dict[str, Any]) -> ExecutionSummary:
    secrets = ParameterSchema.of(row.pop("param_schema")).secrets
    config = row.pop("config")
    if isinstance(config, dict):
        config = {name: "[redacted]" if name in secrets else value for name, value in config.items()}
    return ExecutionSummary(parameters=config if isinstance(config, dict) else None, **row)


def _missing(execution_id: int) -> NotFound:
    return NotFound(f"there is no execution {execution_id}", hint="see: attune execution list")


def _nap(connection: Connection, execution_id: int, seconds: float) -> None:
    """Sleep until this execution changes, ``seconds`` at most."""
    for notice in connection.notifies(timeout=seconds):
        if _concerns(notice.payload, execution_id):
            return


def _concerns(payload: str, execution_id: int) -> bool:
    """Whether a notification may be about this execution; one that can't be read may be."""
    try:
        document = json.loads(payload)
    except ValueError:
        return True
    named = document.get("entity_id", document.get("id")) if isinstance(document, dict) else None
    return named is None or str(named) == str(execution_id)
