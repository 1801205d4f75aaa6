"""What a person sees while an execution runs: a spinner on a terminal, and the action's output as it is written."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import BinaryIO

from rich.status import Status

from agent.cli.tables import console, short
from agent.cli.terminal_filter import TerminalFilter
from agent.control.executions import ExecutionSummary
from agent.operations.interface import Executions


class Watch:
    """Shows one execution; ``update`` is called whenever it may have changed. ``silent`` shows nothing."""

    def __init__(
        self,
        executions: Executions,
        execution_id: int,
        *,
        silent: bool = False,
        streams: tuple[str, ...] = ("stdout", "stderr"),
    ) -> None:
        """Prepare; the spinner starts with the ``with`` block."""
        self._readers = {} if silent else {stream: executions.output(execution_id, stream) for stream in streams}
        self._screen = console(stderr=True)
        self._status: Status | None = None
        if self._screen.is_terminal and not silent:
            self._status = self._screen.status(f"execution {execution_id}")
        self._shown: set[str] = set()
        # A file gets what was written; a terminal only what does not drive it.
        self._filters = {stream: TerminalFilter() for stream in self._readers if _target(stream).isatty()}

    def __enter__(self) -> Watch:
        """Start the spinner, on a terminal only."""
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the spinner away."""
        self._stop_spinner()

    def update(self, execution: ExecutionSummary) -> None:
        """Show what has been written since the last call, else what the execution is doing."""
        for stream, reader in self._readers.items():
            for chunk in reader.read_rest() if execution.ended else reader.read_live():
                self._stop_spinner()  # it would be drawn into the middle of a line
                self._shown.add(stream)
                _target(stream).write(self._filters[stream].feed(chunk) if stream in self._filters else chunk)
            if execution.ended and stream in self._filters:
                _target(stream).write(self._filters[stream].finish())
            _target(stream).flush()
        if self._status is not None:
            where = f" on {execution.worker}" if execution.worker else ""
            since = f", {short(execution.seconds)}" if execution.seconds is not None else ""
            self._status.update(f"{execution.action_ref} {execution.status}{where}{since}")

    def has_shown(self, stream: str) -> bool:
        """Whether anything of this stream was printed."""
        return stream in self._shown

    def _stop_spinner(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def _target(stream: str) -> BinaryIO:
    return (sys.stderr if stream == "stderr" else sys.stdout).buffer
