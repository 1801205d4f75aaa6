"""What the row says about an execution that has ended, for each way to end and each format of output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.services.agent_process import AgentProcess
from tests.services.brokers import until
from tests.services.deployment import Deployment, Execution

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


def result_of(done: Execution) -> dict[str, Any]:
    """The result without what differs each time; its type is checked here."""
    result: dict[str, Any] = dict(done.result)
    if "duration_ms" in result:
        assert type(result.pop("duration_ms")) is int
    return result


@pytest.fixture(scope="module")
def run(deployment: Deployment) -> Any:
    """Run a script as an action of its own and return the row."""
    counter = iter(range(1000))

    def run_script(script: str, config: Any = None, *, execution: dict[str, Any] | None = None, **columns: Any) -> Any:
        ref = f"results.script_{next(counter)}"
        deployment.add_action(ref, script, **columns)
        return deployment.run(ref, config, **execution or {})

    return run_script


@pytest.fixture(scope="module")
def small(deployment: Deployment) -> Iterator[AgentProcess]:
    """An agent that keeps 272 bytes of output: its limit of 400 less the 128 that the mark may take."""
    limits = {f"ATTUNE__WORKER__MAX_{stream}_BYTES": "400" for stream in ("STDOUT", "STDERR")}
    with deployment.another_agent("small", **limits) as agent:
        yield agent


# --- ways to end ---


def test_a_silent_success_has_three_keys(run: Any) -> None:
    done = run(":\n")
    assert (done.status, result_of(done)) == ("completed", {"succeeded": True, "exit_code": 0})


def test_a_success_keeps_its_text_and_names_the_log_of_stderr(run: Any, deployment: Deployment) -> None:
    done = run("echo hello; echo warning >&2\n")
    path = deployment.artifacts / done.action_ref.replace(".", "/") / "stderr/log/v1.txt"
    assert result_of(done) == {
        "succeeded": True,
        "exit_code": 0,
        "stdout": "hello\n",
        "stderr_log": str(path),
    }
    assert path.read_text() == "warning\n"


def test_a_failure_tells_its_exit_code_and_the_words_on_stderr(run: Any) -> None:
    done = run("echo before; echo 'no such host' >&2; exit 7\n")
    result = result_of(done)
    assert result.pop("stderr_log").endswith("/stderr/log/v1.txt")
    assert done.status == "failed"
    assert result == {
        "succeeded": False,
        "exit_code": 7,
        "error": "no such host\n",
        "stdout": "before\n",
        "cause": "exit",
    }


def test_of_a_long_stderr_the_last_line_is_the_error(run: Any) -> None:
    assert run("for i in 1 2 3 4 5 6; do echo line $i >&2; done; exit 1\n").result["error"] == "line 6"
    assert run("for i in 1 2 3 4 5; do echo line $i >&2; done; exit 1\n").result["error"].startswith("line 1\n")


def test_a_failure_without_words_names_its_exit_code(run: Any) -> None:
    result = result_of(run("exit 42\n"))
    assert result == {"succeeded": False, "exit_code": 42, "error": "Command exited with code 42", "cause": "exit"}


def test_a_failing_action_that_writes_of_cancelling_is_not_cancelled(run: Any) -> None:
    done = run("echo 'order cancelled' >&2; exit 1\n")
    assert done.status == "failed"
    assert "cancelled" not in done.result


def test_a_signal_is_named(run: Any) -> None:
    done = run("kill -SEGV $$\n")
    result = result_of(done)
    assert done.status == "failed"
    assert (result["exit_code"], result["cause"], result["signal"]) == (-1, "signal", "SIGSEGV")


def test_the_time_limit_of_a_workflow_task_wins(run: Any) -> None:
    task = {"workflow_task": {"task_name": "slow", "timeout_seconds": 1}}
    done = run("echo begun; sleep 600\n", execution=task, timeout_seconds=50)
    assert done.status == "failed"
    assert result_of(done) == {
        "succeeded": False,
        "exit_code": -1,
        "error": "Execution timed out after 1 seconds",
        "stdout": "begun\n",
        "cause": "timeout",
        "signal": "SIGTERM",
    }
    assert 1000 <= done.result["duration_ms"] < 5000


def test_the_time_limit_of_the_action_holds(run: Any) -> None:
    done = run("sleep 600\n", timeout_seconds=1)
    assert (done.status, done.result["error"]) == ("failed", "Execution timed out after 1 seconds")


def test_the_time_limit_of_the_worker_holds_for_all_others(deployment: Deployment) -> None:
    deployment.add_action("results.sleeper", "sleep 600\n")
    with deployment.another_agent("hasty", ATTUNE__WORKER__TASK_TIMEOUT="0.5") as agent:
        done = deployment.run("results.sleeper", worker=agent.worker_id)
    assert done.result["error"] == "Execution timed out after 0.5 seconds"


def test_one_that_ignores_the_polite_signal_is_killed_after_five_seconds(deployment: Deployment) -> None:
    deployment.add_action("results.stubborn", "trap '' TERM; echo up; while :; do sleep 1; done\n", timeout_seconds=1)
    done = deployment.run("results.stubborn")
    assert (done.result["exit_code"], done.result["signal"]) == (-1, "SIGKILL")
    assert 6000 <= done.result["duration_ms"] < 9000


def test_a_cancelled_execution_says_so(run: Any, deployment: Deployment) -> None:
    deployment.add_action("results.endless", "echo up; trap 'exit 9' TERM; sleep 600 & wait\n")
    execution_id = deployment.start("results.endless")
    live = deployment.artifacts / f"execution_{execution_id}" / "stdout.log"
    until(lambda: live.exists() and live.read_text())
    deployment.cancel(execution_id)
    done = deployment.wait(execution_id)
    assert done.status == "cancelled"
    assert result_of(done) == {
        "succeeded": False,
        "cancelled": True,
        "exit_code": 9,
        "error": "Execution cancelled by user",
        "stdout": "up\n",
        "cause": "cancelled",
    }


def test_the_program_that_cannot_be_started_is_named(deployment: Deployment) -> None:
    deployment.add_action("results.noexec", "no program", runtime="core.native", entrypoint="noexec")
    deployment.write("results", "actions/noexec", "no program", mode=0o644)
    done = deployment.run("results.noexec")
    assert (done.status, set(done.result)) == ("failed", {"succeeded", "error", "cause"})
    assert done.result["cause"] == "spawn_failed"
    assert done.result["error"].startswith("Action execution failed: Internal error: can't start ")
    assert "not executable" in done.result["error"]


# --- formats of output ---


@pytest.mark.parametrize(
    ("output_format", "printed", "data"),
    [
        ("json", '{"a": [1, 2.5, null, "ä"]}', {"a": [1, 2.5, None, "ä"]}),
        ("json", 'reading...\nwriting...\n{"last": "line"}', {"last": "line"}),
        ("json", "null", None),
        ("yaml", "a: 1\nb: [x, y]\nc: yes\nd: 2026-01-01", {"a": 1, "b": ["x", "y"], "c": "yes", "d": "2026-01-01"}),
        ("yaml", "just words", "just words"),
        ("jsonl", '{"n": 1}\nnoise\n[2]\n\n"three"', [{"n": 1}, [2], "three"]),
    ],
)
def test_output_in_a_declared_format_becomes_data(run: Any, output_format: str, printed: str, data: Any) -> None:
    done = run(f"cat <<'END'\n{printed}\nEND\n", output_format=output_format)
    assert result_of(done) == {"succeeded": True, "exit_code": 0, "data": data}


@pytest.mark.parametrize(
    ("output_format", "printed"),
    [("json", "{broken"), ("json", "NaN"), ("jsonl", "no line\nis json"), ("yaml", "a: b: c"), ("text", '{"a": 1}')],
)
def test_output_that_is_not_in_its_format_stays_text(run: Any, output_format: str, printed: str) -> None:
    done = run(f"cat <<'END'\n{printed}\nEND\n", output_format=output_format)
    assert result_of(done) == {"succeeded": True, "exit_code": 0, "stdout": f"{printed}\n"}


def test_the_output_of_a_failure_is_not_parsed(run: Any) -> None:
    done = run("echo '{\"a\": 1}'; exit 1\n", output_format="json")
    assert "data" not in done.result
    assert done.result["stdout"] == '{"a": 1}\n'


def test_an_acknowledgement_of_a_queue_is_copied_to_the_top(run: Any) -> None:
    acknowledgement = {"version": 1, "items": [{"id": 4, "status": "completed"}]}
    done = run(
        'echo \'{"queue_ack": {"version": 1, "items": [{"id": 4, "status": "completed"}]}}\'\n', output_format="json"
    )
    assert done.result["queue_ack"] == acknowledgement
    assert done.result["data"] == {"queue_ack": acknowledgement}


def test_parsed_data_is_also_a_file(run: Any, deployment: Deployment) -> None:
    done = run('echo \'{"b": "ü"}\'\n', output_format="json")
    path = deployment.artifacts / f"execution_{done.id}" / "result.json"
    assert path.read_text(encoding="utf-8") == '{\n  "b": "ü"\n}'


# --- too much, and odd bytes ---


def test_a_failure_tells_how_much_was_cut_off(deployment: Deployment, small: AgentProcess) -> None:
    deployment.add_action("results.much", "printf 'x%.0s' {1..300}; printf 'y%.0s' {1..350} >&2; exit 1\n")
    result = deployment.run("results.much", worker=small.worker_id).result
    assert result["stdout"] == "x" * 272 + "\n\n[OUTPUT TRUNCATED: stdout exceeded size limit]\n"
    assert {key: value for key, value in result.items() if "truncated" in key} == {
        "stdout_truncated": True,
        "stdout_bytes_truncated": 28,
        "stderr_truncated": True,
        "stderr_bytes_truncated": 78,
    }


def test_a_success_carries_the_mark_but_no_counters(deployment: Deployment, small: AgentProcess) -> None:
    deployment.add_action("results.much_success", "printf 'x%.0s' {1..300}\n")
    done = deployment.run("results.much_success", worker=small.worker_id)
    assert result_of(done) == {
        "succeeded": True,
        "exit_code": 0,
        "stdout": "x" * 272 + "\n\n[OUTPUT TRUNCATED: stdout exceeded size limit]\n",
    }
    log = deployment.artifacts / "results/much_success/stdout/log/v1.txt"
    assert log.read_text() == done.result["stdout"]


def test_exactly_as_much_as_fits_is_not_marked(deployment: Deployment, small: AgentProcess) -> None:
    deployment.add_action("results.just", "printf 'x%.0s' {1..272}\n")
    assert deployment.run("results.just", worker=small.worker_id).result["stdout"] == "x" * 272


def test_output_is_cut_between_characters(deployment: Deployment, small: AgentProcess) -> None:
    deployment.add_action("results.wide", "printf x; printf '€%.0s' {1..200}\n")
    text = deployment.run("results.wide", worker=small.worker_id).result["stdout"]
    assert text.startswith("x" + "€" * 90 + "\n\n[OUTPUT")  # 271 bytes: the next character would need three


def test_bytes_that_are_no_utf8_are_replaced_and_kept_in_the_log(run: Any, deployment: Deployment) -> None:
    done = run("printf 'a\\377\\376b\\xe2\\x82'\n")
    assert done.result["stdout"] == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
    log = deployment.artifacts / f"execution_{done.id}" / "stdout.log"
    assert log.read_bytes() == b"a\xff\xfeb\xe2\x82"


def test_a_character_that_arrives_in_two_pieces_stays_whole(run: Any) -> None:
    assert run("printf '\\xe2'; sleep 0.05; printf '\\x82\\xac'\n").result["stdout"] == "€"


def test_nul_characters_are_replaced_because_the_database_refuses_them(run: Any) -> None:
    assert run("printf 'a\\0b'\n").result["stdout"] == "a\N{REPLACEMENT CHARACTER}b"


def test_nul_characters_in_data_are_replaced_too(run: Any) -> None:
    done = run("""printf '%s' '{"a\\u0000": ["\\u0000", "\\ud800"]}'\n""", output_format="json")
    assert done.status == "completed"
    assert list(done.result["data"].values()) == [["\N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}"]]


@pytest.mark.parametrize("printed", ['{"a": NaN}', "[Infinity]", "-Infinity"])
def test_numbers_that_are_no_json_stay_text(run: Any, printed: str) -> None:
    done = run(f"echo '{printed}'\n", output_format="json")
    assert (done.status, done.result["stdout"]) == ("completed", printed + "\n")


def test_a_number_too_large_for_anything_is_stored(run: Any) -> None:
    done = run("printf '[1e400, %s]' $(printf '9%.0s' {1..5000})\n", output_format="json")
    assert (done.status, done.result["stdout"][:7]) == ("completed", "[1e400,")


def test_one_line_of_a_megabyte_is_kept(run: Any) -> None:
    done = run("head -c 1048576 /dev/zero | tr '\\0' x\n")
    assert done.result["stdout"] == "x" * 1048576


def test_deeply_nested_output_fails_nothing(run: Any) -> None:
    done = run("printf '[%.0s' {1..5000}; printf ']%.0s' {1..5000}\n", output_format="json")
    assert (done.status, len(done.result["stdout"])) == ("completed", 10000)


def test_output_without_end_is_read_on_and_counted(deployment: Deployment, small: AgentProcess) -> None:
    deployment.add_action("results.flood", "head -c 3000000 /dev/zero; exit 1\n")
    result = deployment.run("results.flood", worker=small.worker_id).result
    assert result["stdout_bytes_truncated"] == 3000000 - 272
