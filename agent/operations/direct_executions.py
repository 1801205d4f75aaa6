"""Executions, on the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.control import executions as control
from agent.control.execution_output import LogReader
from agent.control.executions import ExecutionSummary, Retried
from agent.control.explaining import Explained, explain_execution
from agent.control.parameter_values import ParameterSchema
from agent.control.requesting import dispatcher_runs, executor_consumes
from agent.control.submission import SubmittableAction, Submitted, find_action, submit
from agent.db.pool import Database
from agent.mq.outgoing_messages import execution_requested
from agent.operations.means import Means

_LOOK = 0.25
"""Seconds between looks at the files of an execution that runs."""


class DirectExecutions:
    """Implements ``Executions``."""

    def __init__(self, database: Database, means: Means) -> None:
        """Work on ``database``."""
        self._database = database
        self._means = means
        self._found: SubmittableAction | None = None

    def parameters_of(self, action_ref: str) -> ParameterSchema:
        """Return what an action takes. Raises UsageError."""
        return self._action(action_ref).schema

    def submit(self, action_ref: str, parameters: Mapping[str, Any]) -> Submitted:
        """Write it; where no dispatcher of ours runs, place it too, or tell Attune's executor."""
        action = self._action(action_ref)
        key = self._means.settings.security.encryption_key
        if dispatcher_runs(self._database):
            return submit(self._database, None, action, parameters, encryption_key=key)
        with self._means.sender() as send:
            tells = executor_consumes(self._means.broker())
            made = submit(self._database, None if tells else send, action, parameters, encryption_key=key)
            if tells:
                send(execution_requested(made.id, action.ref, at=datetime.now(UTC), action_id=action.id))
            return made

    def recent(
        self, *, limit: int, status: str | None = None, action_ref: str | None = None, before: int | None = None
    ) -> list[ExecutionSummary]:
        """Return the newest."""
        return control.recent(self._database, limit=limit, status=status, action_ref=action_ref, before=before)

    def find(self, execution_id: int) -> ExecutionSummary:
        """Return one. Raises AgentError."""
        return control.find(self._database, execution_id)

    def wait(
        self,
        execution_id: int,
        *,
        timeout: float | None = None,
        on_change: Callable[[ExecutionSummary], None] = lambda execution: None,
        pause: float = 1.0,
    ) -> ExecutionSummary:
        """Wait for its end."""
        return control.wait(self._database, execution_id, timeout=timeout, on_change=on_change, pause=pause)

    def follow(
        self,
        execution_id: int,
        streams: Sequence[str],
        write: Callable[[str, bytes], None],
        *,
        timeout: float | None = None,
        on_change: Callable[[ExecutionSummary], None] | None = None,
    ) -> ExecutionSummary:
        """Follow it: its row tells when it ends, its files what it writes."""
        readers = {stream: self.output(execution_id, stream) for stream in streams}

        def look(execution: ExecutionSummary) -> None:
            for stream, reader in readers.items():
                for chunk in reader.read_rest() if execution.ended else reader.read_live():
                    write(stream, chunk)
            if on_change is not None:
                on_change(execution)

        return self.wait(execution_id, timeout=timeout, on_change=look, pause=_LOOK)

    def output(self, execution_id: int, stream: str) -> LogReader:
        """Return a reader of what it writes."""
        return LogReader(self._database, self._means.settings.artifacts_dir, execution_id, stream)

    def cancel(self, execution_id: int) -> str:
        """End it. Raises AgentError."""
        with self._means.sender() as send:
            return control.cancel(self._database, send, execution_id)

    def retry(self, execution_id: int) -> Retried:
        """Run it again. Raises AgentError."""
        return control.retry_execution(self._database, execution_id)

    def explain(self, execution_id: int) -> Explained:
        """Say why it is where it is. Raises NotFound."""
        with self._database.connection() as connection:
            return explain_execution(connection, execution_id)

    def dispatched(self) -> bool:
        """Whether a dispatcher runs."""
        return dispatcher_runs(self._database)

    def _action(self, ref: str) -> SubmittableAction:
        if self._found is None or self._found.ref != ref:
            self._found = find_action(self._database, ref)
        return self._found
