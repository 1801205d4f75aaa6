"""Run one claimed execution: prepare, run, conclude, report. Whatever happens, a report comes out.

Promise: every execution ends.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from signal import SIGKILL, SIGXCPU

from agent.errors import AgentError, EnvironmentFailed, InvalidExecution, SecretUnavailable, UnmetConstraint
from agent.execution.model import Action, Assignment, Cause
from agent.execution.outcome.log_files import ArtifactFiles, LogWriter
from agent.execution.outcome.results import (
    WITHHELD,
    Conclusion,
    Run,
    cancelled_before_start,
    conclude,
    early_failure,
    has_secret_output,
)
from agent.execution.preparation import Preparation, Preparer
from agent.execution.recording.jsonb_values import to_jsonb
from agent.execution.report import LogFile, Report
from agent.execution.secrets.masking import Masker, MaskingStream
from agent.process.cancellation import CancellationToken
from agent.process.capture import BoundedCapture
from agent.process.job_limits import NO_LIMITS, JobLimits
from agent.process.job_mark import JobMark
from agent.process.oom_events import kills_in, oom_counts, oom_kills
from agent.process.request import Ending, ProcessOutcome, ProcessRequest
from agent.process.supervisor import run

log = logging.getLogger(__name__)

_CAUSES: dict[Ending, Cause] = {
    Ending.EXIT: "exit",
    Ending.SIGNAL: "signal",
    Ending.TIMEOUT: "timeout",
    Ending.CANCELLED: "cancelled",
    Ending.SHUTDOWN: "shutdown",
    Ending.OUT_OF_MEMORY: "oom",
    Ending.SPAWN_FAILED: "spawn_failed",
}

_NO_SECRETS = Masker()

#: Why an execution could not even be started; a more special error comes before its kind.
_FAILURES: tuple[tuple[type[AgentError], Cause], ...] = (
    (EnvironmentFailed, "environment_failed"),
    (UnmetConstraint, "unmet_constraint"),
    (SecretUnavailable, "secret_unavailable"),
    (InvalidExecution, "invalid"),
)


@dataclass(frozen=True)
class RunnerSettings:
    """Limits in bytes; the retention of logs of actions that set none; the key of stored secrets."""

    max_stdout_bytes: int
    max_stderr_bytes: int
    log_policy: str
    log_limit: int
    encryption_key: str | None
    job_limits: JobLimits = NO_LIMITS


class _Stream:
    """One output stream on its way into memory and, masked, into its live log."""

    def __init__(self, name: str, limit: int, masker: Masker, writer: LogWriter) -> None:
        self.name = name
        self.capture = BoundedCapture(name, limit)
        self.writer = writer
        self._masking = MaskingStream(masker) if masker else None
        self._withheld = False

    def withhold(self) -> None:
        """Write one line in place of everything: the action says that secrets are in it."""
        self._withheld = True

    def feed(self, chunk: bytes) -> None:
        kept = self.capture.feed(chunk)
        if self._withheld:
            if self.writer.size_bytes == 0:
                self.writer.write(f"{WITHHELD}\n".encode())
            return
        self.writer.write(kept if self._masking is None else self._masked(kept, self._masking))

    def _masked(self, kept: bytes, masking: MaskingStream) -> bytes:
        """Mask what is kept; where the rest is dropped, half a secret right before the mark is hidden too."""
        mark = self.capture.mark
        if self.capture.truncated and kept.endswith(mark):
            return masking.feed(kept.removesuffix(mark)) + masking.cut() + mark
        return masking.feed(kept)

    def finish(self) -> None:
        if self._masking is not None:
            self.writer.write(self._masking.finish())
        self.writer.close()


class ActionRunner:
    """Shared by all slots; keeps nothing between executions."""

    def __init__(self, preparer: Preparer, files: ArtifactFiles, settings: RunnerSettings) -> None:
        """Prepare with ``preparer``, write logs through ``files``."""
        self._preparer = preparer
        self._files = files
        self._settings = settings

    def run(
        self, assignment: Assignment, stop: CancellationToken, score: int | None = None, traceparent: str | None = None
    ) -> Report:
        """Run to the end; never raises. ``score`` marks the processes of this job, beside their environment.

        ``traceparent`` is the trace that the execution belongs to, passed on unless the execution sets its own.
        """
        execution, action = assignment.claim.execution, assignment.action
        streams: tuple[_Stream, ...] = ()
        masker = _NO_SECRETS
        runtime: str | None = None
        writers = {
            name: self._files.live_log(execution.id, name, execution.action_ref) for name in ("stdout", "stderr")
        }
        try:
            if stop.cause is not None:
                conclusion = _not_started(stop.cause)
            elif action is None:
                conclusion = early_failure("invalid", f"action {execution.action_ref} does not exist")
            elif assignment.claim.problem is not None:
                conclusion = early_failure("invalid", assignment.claim.problem)
            else:
                secrets = self._preparer.secrets(assignment.claim, action)
                masker = Masker(secrets.values) if secrets.values else _NO_SECRETS
                told = _teller(writers["stderr"], masker)
                preparation = self._preparer.prepare(
                    assignment.claim, action, secrets, stop, told, traceparent=traceparent
                )
                if preparation.confidential:
                    masker = Masker((*secrets.values, *preparation.confidential))
                runtime = preparation.runtime
                mark = JobMark(f"ATTUNE_EXEC_ID={execution.id}", score)
                conclusion, streams = self._run(writers, action, preparation, masker, stop, mark)
        except Exception as error:  # noqa: BLE001 - the row must end, whatever went wrong
            conclusion = self._failure(execution.id, error, stop, masker)
        finally:
            for writer in writers.values():
                writer.close()
        logs = self._logs(action, execution.id, streams) if action is not None else ()
        self._files.hand_over(writers.values())
        if execution.permission_set_refs:  # it had a token, with which files are allocated
            self._files.hand_over_made(execution.id)
        conclusion = self._kept(execution.id, conclusion)
        return Report(
            execution.id,
            assignment.claim.action_id,
            execution.action_ref,
            conclusion.status,
            conclusion.result,
            logs,
            conclusion.secrets,
            wants_stderr_log=bool(streams) and bool(streams[1].capture.data().strip()),
            runtime=runtime,
        )

    def _kept(self, execution_id: int, conclusion: Conclusion) -> Conclusion:
        """Write the result file; a result that no JSON can hold fails its own execution, and nothing else."""
        if conclusion.result.get("data") is None:
            return conclusion
        try:
            to_jsonb(conclusion.result)
            self._files.write_result(execution_id, conclusion.result["data"])
        except Exception as error:  # noqa: BLE001 - whatever a parser made of what the action wrote
            return early_failure("invalid", f"its result can't be written as JSON: {type(error).__name__}")
        return conclusion

    def _run(
        self,
        writers: Mapping[str, LogWriter],
        action: Action,
        preparation: Preparation,
        masker: Masker,
        stop: CancellationToken,
        mark: JobMark,
    ) -> tuple[Conclusion, tuple[_Stream, ...]]:
        try:
            limits = (("stdout", self._settings.max_stdout_bytes), ("stderr", self._settings.max_stderr_bytes))
            out, err = streams = tuple(_Stream(name, limit, masker, writers[name]) for name, limit in limits)
            if has_secret_output(action):
                out.withhold()
            before = oom_counts()
            try:
                outcome = run(_request(preparation, mark, self._settings.job_limits, out, err), stop)
            finally:
                for stream in streams:
                    stream.finish()
        finally:
            self._preparer.done(preparation)
        ended = _as_run(outcome, preparation.timeout, stop.close(), out.capture, err.capture)
        if (seconds := self._settings.job_limits.cpu_seconds) is not None and ended.signal == SIGXCPU:
            ended = replace(ended, error=f"Execution used the {seconds} s of processor time that worker.limits allows")
        if _was_killed(ended) and oom_kills() > kills_in(before):
            ended = replace(ended, cause="oom")
        return conclude(ended, action, masker, self._settings.encryption_key), streams

    def _failure(self, execution_id: int, error: Exception, stop: CancellationToken, masker: Masker) -> Conclusion:
        if stop.cause is not None:
            return _not_started(stop.cause)
        for kind, cause in _FAILURES:
            if isinstance(error, kind):
                remedy = f" ({error.hint})" if isinstance(error, AgentError) and error.hint else ""
                return early_failure(cause, f"{error}{remedy}", masker)
        trace = masker.mask_text("".join(traceback.format_exception(error)))
        log.error("execution %d failed because of an error in the agent: %s", execution_id, trace)
        return early_failure("invalid", f"internal error of the agent: {type(error).__name__}: {error}", masker)

    def left_logs(self, action_ref: str, execution_id: int) -> tuple[LogFile, ...]:
        """Return the logs of an execution that an earlier life had begun, as far as they were written."""
        found = ((stream, self._files.left_log(execution_id, stream)) for stream in ("stdout", "stderr"))
        policy, limit = self._settings.log_policy, self._settings.log_limit
        logs = tuple(
            LogFile(stream, f"{action_ref}.{stream}.log", path, size, policy, limit, inode, left=True)
            for stream, left in found
            if left is not None
            for path, size, inode in (left,)
        )
        return self._files.hand_over_left(execution_id, action_ref, logs)

    def _logs(self, action: Action, execution_id: int, streams: tuple[_Stream, ...]) -> tuple[LogFile, ...]:
        return tuple(
            LogFile(
                stream.name,
                f"{action.ref}.{stream.name}.log",
                stream.writer.path,
                stream.writer.size_bytes,
                action.log_retention_policy or self._settings.log_policy,
                action.log_retention_limit or self._settings.log_limit,
                stream.writer.inode,
                file_path=stream.writer.file_path,
            )
            for stream in streams
            if stream.writer.kept
        )


def _was_killed(run: Run) -> bool:
    """Whether a SIGKILL that we did not send ended it, or a child of it whose end it passed on as a shell does."""
    return run.cause in ("exit", "signal") and (run.signal == SIGKILL or run.exit_code == 128 + SIGKILL)


def _teller(writer: LogWriter, masker: Masker) -> Callable[[str], None]:
    """What takes long before the process starts is told in its live log, where somebody may be waiting."""
    return lambda line: writer.write(f"attune: {masker.mask_text(line)}\n".encode("utf-8", "replace"))


def _not_started(cause: Ending) -> Conclusion:
    if cause is Ending.CANCELLED:
        return cancelled_before_start()
    return early_failure("shutdown", "the worker shut down before the process was started")


def _request(preparation: Preparation, mark: JobMark, limits: JobLimits, out: _Stream, err: _Stream) -> ProcessRequest:
    return ProcessRequest(
        argv=preparation.argv,
        env=preparation.env,
        cwd=preparation.cwd,
        stdin=preparation.stdin,
        timeout=preparation.timeout,
        stdout=out.feed,
        stderr=err.feed,
        mark=mark,
        limits=limits,
    )


def _as_run(
    outcome: ProcessOutcome,
    timeout: float | None,
    asked: Ending | None,
    out: BoundedCapture,
    err: BoundedCapture,
) -> Run:
    # A cancellation that came while the process ended by itself still decides: the row says `canceling` already.
    by_itself = outcome.ending in (Ending.EXIT, Ending.SIGNAL)
    ending = Ending.CANCELLED if by_itself and asked is Ending.CANCELLED else outcome.ending
    return Run(
        cause=_CAUSES[ending],
        exit_code=outcome.exit_code,
        duration_ms=int(outcome.seconds * 1000),
        stdout=out.text(),
        stderr=err.text(),
        signal=outcome.signal,
        stdout_dropped=out.dropped,
        stderr_dropped=err.dropped,
        timeout=timeout,
        error=_sentence(ending, outcome.reason),
    )


def _sentence(ending: Ending, reason: str) -> str | None:
    if ending is Ending.OUT_OF_MEMORY:
        return f"Execution was killed: {reason}"
    return reason or None
