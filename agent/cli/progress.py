"""What a person sees while an execution runs: a spinner on a terminal, and the action's output as it is written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO

from rich.status import Status

from agent.cli.tables import console, short
from agent.cli.terminal_filter import TerminalFilter
from agent.control.executions import ExecutionSummary


class Watch:
    """Shows one execution: ``show`` what it writes, ``described`` says how it stands. ``silent`` shows nothing."""

    def __init__(self, execution_id: int, *, silent: bool = False) -> None:
        """Prepare; the spinner starts with the ``with`` block."""
        self._screen = console(stderr=True)
        self._status: Status | None = None
        if self._screen.is_terminal and not silent:
            self._status = self._screen.status(f"execution {execution_id}")
        self._shown: set[str] = set()
        # A file gets what was written; a terminal only what does not drive it.
        self._filters = {stream: TerminalFilter() for stream in ("stdout", "stderr") if _target(stream).isatty()}

    def __enter__(self) -> Watch:
        """Start the spinner, on a terminal only."""
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the spinner away, and show what a filter held back."""
        self._stop_spinner()
        for stream, held in self._filters.items():
            _target(stream).write(held.finish())
            _target(stream).flush()

    def show(self, stream: str, chunk: bytes) -> None:
        """Show what was written."""
        self._stop_spinner()  # it would be drawn into the middle of a line
        self._shown.add(stream)
        _target(stream).write(self._filters[stream].feed(chunk) if stream in self._filters else chunk)
        _target(stream).flush()

    @property
    def described(self) -> Callable[[ExecutionSummary], None] | None:
        """What says how the execution stands; None where nobody sees it."""
        return self._describe if self._status is not None else None

    def _describe(self, execution: ExecutionSummary) -> None:
        """Say what the execution is doing, as long as it has written nothing."""
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
