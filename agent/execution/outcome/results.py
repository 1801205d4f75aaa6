"""Say how an execution ended: its final status and the JSON that its row, its messages and the UI show (pure)."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.errors import SecretUnavailable
from agent.execution.model import Action, Cause, FinalStatus
from agent.execution.outcome.error_line import error_line, without_banners
from agent.execution.outcome.parsing import parse_output
from agent.execution.report import SecretValue
from agent.execution.secrets.encryption import encrypt, key_hash
from agent.execution.secrets.masking import Masker
from agent.execution.secrets.redaction import MARKER, Redacted, redact_result, secret_paths
from agent.process.capture import truncation_mark

_STATUS: dict[Cause, FinalStatus] = {"cancelled": "cancelled", "shutdown": "abandoned", "worker_lost": "abandoned"}

_CANCELLED = "Execution cancelled by user"

#: What is kept of standard output that holds declared secrets.
WITHHELD = "[standard output is not kept: the action declares secrets in it]"

#: More lines of stderr than these, and only the last one is the error.
_SHORT_STDERR = 5


@dataclass(frozen=True, slots=True)
class Run:
    """What became of the process of one execution.

    ``cause`` is None, ``exit`` or ``signal`` when it ended by itself; ``signal`` is the number of the one that ended
    it. ``stdout`` and ``stderr`` are what was captured, unmasked, with the mark where ``…_dropped`` bytes were cut
    off. ``timeout`` is the limit in seconds. ``error`` replaces the text that the outcome would give.
    """

    cause: Cause | None
    exit_code: int | None
    duration_ms: int
    stdout: str = ""
    stderr: str = ""
    signal: int | None = None
    stdout_dropped: int = 0
    stderr_dropped: int = 0
    timeout: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The end of an execution: a masked, redacted ``result``; ``secrets`` is what was taken out of it, encrypted."""

    status: FinalStatus
    result: dict[str, Any]
    secrets: tuple[SecretValue, ...] = ()


def conclude(run: Run, action: Action, masker: Masker, encryption_key: str | None = None) -> Conclusion:
    """Return the end of an execution whose process ran (or could not be spawned).

    A result whose declared secrets can't be encrypted makes the execution fail with cause ``secret_unavailable``.
    """
    if run.cause == "spawn_failed":
        return early_failure("spawn_failed", run.error or "the process could not be started", masker)
    found, data = (False, None)
    if run.exit_code == 0 and run.cause != "timeout":
        found, data = parse_output(run.stdout, action.output_format)
    secrets: tuple[SecretValue, ...] = ()
    confidential = has_secret_output(action)
    if found:
        data, taken = redact_result(data, action.out_schema)
        if confidential and not isinstance(data, Mapping):
            data = dict(MARKER)  # it has not the declared form, so what is secret in it can't be told
        masker = masker.knowing(value.original for value in taken if isinstance(value.original, str))
        data = masker.mask_json(data)
        try:
            secrets = _encrypted(taken, encryption_key)
        except SecretUnavailable as problem:
            names = ", ".join(value.source_ref for value in taken)
            run = replace(
                run, cause="secret_unavailable", error=f"the secrets in the result ({names}) can't be stored: {problem}"
            )
    status, result = _outcome(run, masker)
    if run.stdout and not found and confidential:
        result["stdout"] = WITHHELD
    elif run.stdout and not found:
        result["stdout"] = _shown(run.stdout, run.stdout_dropped, "stdout", masker)
    if found:
        result["data"] = data
        if isinstance(data, Mapping) and "queue_ack" in data:
            result["queue_ack"] = data["queue_ack"]
    return Conclusion(status, result, secrets)


def has_secret_output(action: Action) -> bool:
    """Tell whether the action declares a secret in what it prints: its standard output is then kept nowhere."""
    return bool(action.out_schema) and next(secret_paths(action.out_schema), None) is not None


def early_failure(cause: Cause, error: str, masker: Masker | None = None) -> Conclusion:
    """Return the end of an execution whose process never ran; ``error`` says why, for people."""
    failed = (
        "Action execution failed: Internal error" if cause == "spawn_failed" else "Failed to prepare execution context"
    )
    text = f"{failed}: {error}"
    return _ended(cause, masker.mask_text(text) if masker else text)


def cancelled_before_start() -> Conclusion:
    """Return the end of an execution that was cancelled before its process was started."""
    return _ended("cancelled", "Cancelled by user before execution started", cancelled=True)


def cancelled_with_its_worker() -> Conclusion:
    """Return the end of an execution that was being cancelled when its worker went away."""
    return _ended("cancelled", _CANCELLED, cancelled=True)


#: What an execution says that an earlier process of its worker left running.
RESTARTED = "the worker was restarted while this execution was running"


def worker_lost(error: str) -> Conclusion:
    """Return the end of an execution whose worker went away; ``error`` says how, for people."""
    return _ended("worker_lost", error)


def not_storable(error: str) -> Conclusion:
    """Return the end of an execution whose own result the database refuses; ``error`` is what it said."""
    return _ended("invalid", f"the result could not be stored: {error}")


def _ended(cause: Cause, error: str, **more: bool) -> Conclusion:
    return Conclusion(_STATUS.get(cause, "failed"), {"succeeded": False, "error": error, "cause": cause, **more})


def _outcome(run: Run, masker: Masker) -> tuple[FinalStatus, dict[str, Any]]:
    """Return the status and the part of the result that doesn't depend on what was printed."""
    cause = _cause(run)
    if cause is None:
        return "completed", {"succeeded": True, "exit_code": 0, "duration_ms": run.duration_ms}
    code = -1 if run.exit_code is None or cause == "timeout" else run.exit_code
    result: dict[str, Any] = {
        "succeeded": False,
        "exit_code": code,
        "duration_ms": run.duration_ms,
        "error": masker.mask_text(run.error) if run.error else _error(cause, code, run, masker),
        "cause": cause,
    }
    if run.signal is not None:
        result["signal"] = _signal_name(run.signal)
    if cause == "cancelled":
        result["cancelled"] = True
    for stream, dropped in (("stdout", run.stdout_dropped), ("stderr", run.stderr_dropped)):
        if dropped:
            result[f"{stream}_truncated"] = True
            result[f"{stream}_bytes_truncated"] = dropped
    return _STATUS.get(cause, "failed"), result


def _cause(run: Run) -> Cause | None:
    """Return why the execution did not complete, None if it did."""
    if run.cause not in (None, "exit", "signal"):
        return run.cause
    if run.exit_code is None or run.signal is not None:
        return "signal"
    return None if run.exit_code == 0 and not run.error else "exit"


def _error(cause: Cause, code: int, run: Run, masker: Masker) -> str:
    if cause == "timeout":
        return f"Execution timed out after {run.timeout or 0:.10g} seconds"
    if cause == "cancelled":
        return _CANCELLED
    if cause == "shutdown":
        return "Execution was cut short: its worker shut down"
    if cause == "worker_lost":
        return "Execution was cut short: its worker ended unexpectedly"
    if cause == "oom":
        return "Execution was killed: out of memory"
    stderr = _shown(run.stderr, run.stderr_dropped, "stderr", masker)
    if not stderr.strip():
        return f"Command exited with code {code}"
    plain = without_banners(stderr.removesuffix(truncation_mark("stderr")))
    if not plain.strip():
        return f"Command exited with code {code}"
    lines = plain.splitlines()
    recognised = error_line(plain)
    if recognised:
        return recognised
    return (plain if plain in stderr else stderr) if len(lines) <= _SHORT_STDERR else _last(lines)


def _last(lines: Sequence[str]) -> str:
    return next((line for line in reversed(lines) if line.strip()), lines[-1])


def _shown(text: str, dropped: int, stream: str, masker: Masker) -> str:
    """Return captured text masked; what was cut off may have cut a secret in two, right before the mark."""
    if not masker:
        return text
    mark = truncation_mark(stream)
    if not dropped or not text.endswith(mark):
        return masker.mask_text(text)
    kept = text.removesuffix(mark).encode("utf-8", "surrogatepass")
    return masker.mask_bytes(kept, cut=True).decode("utf-8", "replace") + mark


def _encrypted(taken: Sequence[Redacted], encryption_key: str | None) -> tuple[SecretValue, ...]:
    return tuple(
        SecretValue(
            value.json_path,
            value.source_ref,
            encrypt(value.original, encryption_key),
            key_hash(encryption_key or ""),
        )
        for value in taken
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
