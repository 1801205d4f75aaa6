"""Results: the status of an execution and the JSON that consumers rely on."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from agent.execution.model import Action, Cause
from agent.execution.outcome.results import Run, cancelled_before_start, conclude, early_failure
from agent.execution.secrets.encryption import decrypt, key_hash
from agent.execution.secrets.masking import Masker
from agent.execution.secrets.redaction import MARKER

KEY = "a key of at least thirty-two characters"
OPEN = Masker()
MARK = "\n\n[OUTPUT TRUNCATED: {} exceeded size limit]\n"


def action(output_format: str = "text", **changes: Any) -> Action:
    return Action(55, "ops.rotate", 12, "ops", "rotate.sh", output_format=output_format, **changes)


def run(**changes: Any) -> Run:
    return Run(**({"cause": None, "exit_code": 0, "duration_ms": 412} | changes))


def test_success_holds_exactly_the_documented_keys() -> None:
    end = conclude(run(stdout="rotated\n"), action(), OPEN)
    assert end.status == "completed"
    assert end.result == {"succeeded": True, "exit_code": 0, "duration_ms": 412, "stdout": "rotated\n"}


def test_silent_success_has_no_stdout_key() -> None:
    assert conclude(run(), action(), OPEN).result == {"succeeded": True, "exit_code": 0, "duration_ms": 412}


def test_parsed_output_replaces_stdout_and_null_counts_as_parsed() -> None:
    assert conclude(run(stdout="null\n"), action("json"), OPEN).result == {
        "succeeded": True,
        "exit_code": 0,
        "duration_ms": 412,
        "data": None,
    }


def test_output_that_cannot_be_parsed_stays_stdout() -> None:
    result = conclude(run(stdout="oops"), action("json"), OPEN).result
    assert result["succeeded"]
    assert result["stdout"] == "oops"
    assert "data" not in result


def test_queue_ack_is_copied_to_the_top_from_an_object_only() -> None:
    ack = {"version": 1, "items": [{"id": 4, "status": "completed"}]}
    assert conclude(run(stdout=json.dumps({"queue_ack": ack})), action("json"), OPEN).result["queue_ack"] == ack
    assert "queue_ack" not in conclude(run(stdout='["queue_ack"]'), action("json"), OPEN).result


def test_success_carries_no_truncation_fields() -> None:
    result = conclude(run(stdout="x", stdout_dropped=9), action(), OPEN).result
    assert not any("truncated" in key for key in result)


@pytest.mark.parametrize(
    ("stderr", "error"),
    [
        ("", "Command exited with code 3"),
        ("  \n", "Command exited with code 3"),
        ("boom\n", "boom\n"),
        ("1\n2\n3\n4\n5\n", "1\n2\n3\n4\n5\n"),
        ("1\n2\n3\n4\n5\n6\n", "6"),
        ("1\n2\n3\n4\n5\nlast words\n\n", "last words"),
        ("\n".join("12345") + "\nlast" + MARK.format("stderr"), "last"),
    ],
)
def test_the_error_is_stderr_when_it_is_short_else_its_last_line(stderr: str, error: str) -> None:
    end = conclude(run(exit_code=3, stderr=stderr, stdout="partial"), action("json"), OPEN)
    assert end.status == "failed"
    assert end.result == {
        "succeeded": False,
        "exit_code": 3,
        "duration_ms": 412,
        "error": error,
        "cause": "exit",
        "stdout": "partial",
    }


def test_failed_output_is_not_parsed() -> None:
    result = conclude(run(exit_code=1, stdout='{"a": 1}'), action("json"), OPEN).result
    assert result["stdout"] == '{"a": 1}'
    assert "data" not in result


def test_death_by_a_signal_is_code_minus_one_and_names_the_signal() -> None:
    end = conclude(run(cause="signal", exit_code=None, signal=11), action(), OPEN)
    assert end.status == "failed"
    assert end.result["exit_code"] == -1
    assert end.result["cause"] == "signal"
    assert end.result["signal"] == "SIGSEGV"
    assert end.result["error"] == "Command exited with code -1"


@pytest.mark.parametrize(("seconds", "text"), [(1, "1"), (300.0, "300"), (2.5, "2.5"), (86400000, "86400000")])
def test_a_timeout_says_after_how_many_seconds(seconds: float, text: str) -> None:
    end = conclude(
        run(cause="timeout", exit_code=0, timeout=seconds, stdout='{"a":1}', stderr="noise"), action("json"), OPEN
    )
    assert end.status == "failed"
    assert end.result["error"] == f"Execution timed out after {text} seconds"
    assert end.result["exit_code"] == -1
    assert end.result["cause"] == "timeout"
    assert end.result["stdout"] == '{"a":1}'


@pytest.mark.parametrize(("code", "shown"), [(None, -1), (130, 130), (0, 0)])
def test_cancelled_is_a_flag_whatever_the_process_said(code: int | None, shown: int) -> None:
    end = conclude(
        run(cause="cancelled", exit_code=code, signal=15 if code is None else None, stderr="no word of it"),
        action(),
        OPEN,
    )
    assert end.status == "cancelled"
    assert end.result["cancelled"] is True
    assert end.result["exit_code"] == shown
    assert end.result["error"] == "Execution cancelled by user"
    assert end.result["cause"] == "cancelled"


def test_an_action_that_writes_cancelled_to_stderr_has_failed() -> None:
    end = conclude(run(exit_code=1, stderr="cancelled"), action(), OPEN)
    assert end.status == "failed"
    assert "cancelled" not in end.result


@pytest.mark.parametrize("cause", ["shutdown", "worker_lost"])
def test_what_the_worker_cut_short_is_abandoned(cause: Cause) -> None:
    end = conclude(run(cause=cause, exit_code=None, signal=9), action(), OPEN)
    assert end.status == "abandoned"
    assert end.result["cause"] == cause
    assert "worker" in end.result["error"]


def test_an_error_of_ours_fails_an_execution_that_exited_with_0() -> None:
    end = conclude(run(error="could not write its input"), action(), OPEN)
    assert end.status == "failed"
    assert end.result["error"] == "could not write its input"
    assert end.result["exit_code"] == 0
    assert end.result["cause"] == "exit"


def test_failures_say_how_much_output_was_dropped() -> None:
    result = conclude(run(exit_code=1, stdout_dropped=10, stderr_dropped=20), action(), OPEN).result
    assert result["stdout_truncated"] is True
    assert result["stdout_bytes_truncated"] == 10
    assert result["stderr_truncated"] is True
    assert result["stderr_bytes_truncated"] == 20


@pytest.mark.parametrize(
    "cause", [cause for cause in get_args(Cause) if cause not in ("shutdown", "worker_lost", "cancelled")]
)
def test_an_execution_without_a_process_fails_with_its_reason(cause: Cause) -> None:
    end = early_failure(cause, "no such file: hunter22", Masker(["hunter22"]))
    assert end.status == "failed"
    prefix = (
        "Action execution failed: Internal error" if cause == "spawn_failed" else "Failed to prepare execution context"
    )
    assert end.result == {"succeeded": False, "error": f"{prefix}: no such file: ***", "cause": cause}


def test_a_process_that_could_not_be_spawned_is_an_early_failure() -> None:
    end = conclude(run(cause="spawn_failed", exit_code=None, error="Exec format error"), action(), OPEN)
    assert end.status == "failed"
    assert end.result == {
        "succeeded": False,
        "error": "Action execution failed: Internal error: Exec format error",
        "cause": "spawn_failed",
    }


def test_cancelled_before_the_start_says_so() -> None:
    end = cancelled_before_start()
    assert end.status == "cancelled"
    assert end.result["error"] == "Cancelled by user before execution started"
    assert end.result["cancelled"] is True


def test_secrets_are_masked_in_stdout_error_and_data() -> None:
    masker = Masker(["hunter22"])
    failed = conclude(run(exit_code=1, stdout="out hunter22", stderr="err hunter22"), action(), masker).result
    assert failed["stdout"] == "out ***"
    assert failed["error"] == "err ***"
    assert conclude(run(exit_code=1, error="hunter22 broke"), action(), masker).result["error"] == "*** broke"
    data = conclude(run(stdout='{"a": "hunter22"}'), action("json"), masker).result["data"]
    assert data == {"a": "***"}


def test_half_a_secret_at_the_cut_is_masked() -> None:
    masker = Masker(["hunter22"])
    shown = conclude(run(stdout="the hunter2" + MARK.format("stdout"), stdout_dropped=100), action(), masker).result
    assert shown["stdout"] == "the ***" + MARK.format("stdout")
    error = conclude(
        run(exit_code=1, stderr="a hunte" + MARK.format("stderr"), stderr_dropped=1), action(), masker
    ).result
    assert error["error"].startswith("a ***")


def test_declared_secrets_of_the_result_are_cut_out_and_encrypted_unmasked() -> None:
    declared = action("json", out_schema={"auth": {"type": "object", "properties": {"token": {"secret": True}}}})
    output = {"auth": {"token": "hunter22", "user": "joe"}, "queue_ack": {"v": 1}}
    end = conclude(run(stdout=json.dumps(output)), declared, Masker(["hunter22"]), KEY)
    assert end.status == "completed"
    assert end.result["data"] == {"auth": {"token": MARKER, "user": "joe"}, "queue_ack": {"v": 1}}
    [secret] = end.secrets
    assert (secret.json_path, secret.source_ref, secret.key_hash) == ("/data/auth/token", "/auth/token", key_hash(KEY))
    assert decrypt(secret.value, KEY, secret.key_hash) == "hunter22"


def test_declared_secrets_that_cannot_be_encrypted_fail_the_execution_and_stay_hidden() -> None:
    declared = action("json", out_schema={"token": {"secret": True}})
    end = conclude(run(stdout='{"token": "hunter22"}'), declared, OPEN, None)
    assert end.status == "failed"
    assert end.secrets == ()
    assert end.result["cause"] == "secret_unavailable"
    assert "/token" in end.result["error"]
    assert "encryption_key" in end.result["error"]
    assert "hunter22" not in json.dumps(end.result)


SECRET_SCHEMA = {"token": {"type": "string", "secret": True}}


@pytest.mark.parametrize(
    ("code", "stdout", "output_format"),
    [
        (3, '{"token": "tell-nobody"}', "json"),
        (0, "token: tell-nobody: [", "json"),
        (0, '["tell-nobody"]', "json"),
        (0, "tell-nobody", "text"),
        (1, "tell-nobody", "yaml"),
        (0, '{"token": "tell-nobody", "again": "tell-nobody"}', "json"),
    ],
)
def test_standard_output_with_declared_secrets_is_kept_nowhere(code: int, stdout: str, output_format: str) -> None:
    end = conclude(
        run(exit_code=code, cause=None if code == 0 else "exit", stdout=stdout),
        action(output_format, out_schema=SECRET_SCHEMA),
        OPEN,
        KEY,
    )
    assert "tell-nobody" not in json.dumps(end.result)
