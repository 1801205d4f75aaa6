"""Executions, over the API."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agent.client.documents import value_of, values_of
from agent.client.following import Following
from agent.client.patience import Patience
from agent.client.transport import Transport, path_of
from agent.control.executions import ExecutionSummary, Retried
from agent.control.explaining import Explained
from agent.control.parameter_values import ParameterSchema
from agent.control.submission import Submitted
from agent.errors import ApiUnavailable, NotFound, Overloaded

_PAGE = 200


class ApiOutput:
    """One stream of one execution, asked for by byte offset."""

    def __init__(self, transport: Transport, execution_id: int, stream: str) -> None:
        """Begin at its beginning."""
        self._transport = transport
        self._path = path_of("operator", "executions", execution_id, "output", stream)
        self._offset = 0

    def skip(self, size: int) -> None:
        """Go on so many bytes further down: who reads has them already."""
        self._offset += size

    def read_live(self) -> Iterator[bytes]:
        """Yield what has been written since the last call; nothing while the server is away."""
        try:
            yield from self._read()
        except ApiUnavailable:
            return

    def read_rest(self) -> Iterator[bytes]:
        """Yield what is left. Raises ApiUnavailable when the server stays away."""
        patience = Patience()
        while True:
            try:
                for chunk in self._read():
                    patience.renew()
                    yield chunk
            except ApiUnavailable as error:
                patience.wait(error)
            else:
                return

    def _read(self) -> Iterator[bytes]:
        while True:
            headers = {"Accept": "application/octet-stream"}
            with self._transport.lend("GET", self._path, query={"offset": self._offset}, headers=headers) as answer:
                chunk = answer.read()
            if not chunk:
                return
            self._offset += len(chunk)
            yield chunk


class ApiExecutions:
    """Implements ``Executions``."""

    def __init__(self, transport: Transport) -> None:
        """Ask through ``transport``."""
        self._transport = transport

    def parameters_of(self, action_ref: str) -> ParameterSchema:
        """Return what an action takes. Raises UsageError."""
        found = self._transport.ask("GET", path_of("operator", "actions", action_ref, "parameters"))
        return ParameterSchema.of(found.get("param_schema") if isinstance(found, dict) else None)

    def submit(self, action_ref: str, parameters: Mapping[str, Any]) -> Submitted:
        """Write it; sent again with the same key, it is written once."""
        made = self._transport.ask(
            "POST",
            path_of("executions", "execute"),
            {"action_ref": action_ref, "parameters": dict(parameters)},
            query={"check": "true"},
            headers={"Idempotency-Key": str(uuid.uuid4())},
            repeatable=True,
        )
        return value_of(Submitted, {"worker_id": None, "worker": None, **_object(made)})

    def recent(
        self, *, limit: int, status: str | None = None, action_ref: str | None = None, before: int | None = None
    ) -> list[ExecutionSummary]:
        """Return the newest, a page at a time."""
        found: list[ExecutionSummary] = []
        while len(found) < limit:
            asked = {"limit": min(_PAGE, limit - len(found)), "status": status, "action_ref": action_ref}
            page = _object(
                self._transport.ask("GET", path_of("operator", "executions"), query=asked | {"before": before})
            )
            found += values_of(ExecutionSummary, page.get("items"))
            before = page.get("next")
            if before is None:
                break
        return found

    def find(self, execution_id: int) -> ExecutionSummary:
        """Return one. Raises NotFound."""
        return value_of(ExecutionSummary, self._transport.ask("GET", path_of("operator", "executions", execution_id)))

    def wait(
        self,
        execution_id: int,
        *,
        timeout: float | None = None,
        on_change: Callable[[ExecutionSummary], None] = lambda execution: None,
        pause: float = 1.0,
    ) -> ExecutionSummary:
        """Wait for its end: a server that goes away is waited for, a minute at most."""
        deadline = None if timeout is None else time.monotonic() + timeout
        patience = Patience()
        while True:
            try:
                execution = self.find(execution_id)
            except ApiUnavailable as error:
                patience.wait(error)
                continue
            patience.renew()
            on_change(execution)
            left = pause if deadline is None else min(pause, deadline - time.monotonic())
            if execution.ended or left <= 0:
                return execution
            time.sleep(left)

    def follow(
        self,
        execution_id: int,
        streams: Sequence[str],
        write: Callable[[str, bytes], None],
        *,
        timeout: float | None = None,
        on_change: Callable[[ExecutionSummary], None] | None = None,
    ) -> ExecutionSummary:
        """Follow it over the live views of the server; where it has none left, ask again and again."""
        deadline = None if timeout is None else time.monotonic() + timeout
        readers = {stream: ApiOutput(self._transport, execution_id, stream) for stream in streams}
        look = on_change or (lambda execution: None)
        following = Following(self._transport, execution_id, streams, status=on_change is not None or not streams)
        try:
            for stream, chunk in following.until(deadline):
                if stream:
                    write(stream, chunk)
                    readers[stream].skip(len(chunk))
                    continue
                execution = self.find(execution_id)
                look(execution)
                if execution.ended and not streams:
                    return execution
        except (ApiUnavailable, Overloaded):
            pass

        def asked(execution: ExecutionSummary) -> None:
            for stream, reader in readers.items():
                for chunk in reader.read_rest() if execution.ended else reader.read_live():
                    write(stream, chunk)
            look(execution)

        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        return self.wait(execution_id, timeout=left, on_change=asked)

    def output(self, execution_id: int, stream: str) -> ApiOutput:
        """Return a reader of what it writes."""
        return ApiOutput(self._transport, execution_id, stream)

    def cancel(self, execution_id: int) -> str:
        """End it. Raises Conflict, NotFound."""
        found = self._transport.ask("POST", path_of("executions", execution_id, "cancel"))
        return str(_object(found).get("status"))

    def retry(self, execution_id: int) -> Retried:
        """Run it again. Raises Conflict, NotFound."""
        return value_of(Retried, self._transport.ask("POST", path_of("executions", execution_id, "retry")))

    def explain(self, execution_id: int) -> Explained:
        """Say why it is where it is. Raises NotFound."""
        return value_of(Explained, self._transport.ask("GET", path_of("executions", execution_id, "explain")))

    def dispatched(self) -> bool:
        """Whether a dispatcher runs; an API that doesn't say is taken to have one."""
        try:
            found = self._transport.ask("GET", path_of("operator", "dispatcher"))
        except NotFound:
            return True
        return bool(_object(found).get("running"))


def _object(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}
