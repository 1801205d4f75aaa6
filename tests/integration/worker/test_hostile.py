"""Nothing that a message, a job, a row or the shared volume holds stops a worker, leaks or overwrites."""

from __future__ import annotations

import itertools
import json
import os
import shlex
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from psycopg.types.json import Jsonb

from agent.mq import topology
from agent.process.control_group import why_no_groups
from tests.integration.worker.test_execution_secrets import encrypt
from tests.services.deployment import ENCRYPTION_KEY, JWT_SECRET, Deployment, Execution, dispatch_payload, envelope
from tests.services.ports import free_ports

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

_NUMBERS = itertools.count()


def register(deployment: Deployment, script: str, **columns: Any) -> str:
    """Register an action that nobody else uses; return its ref."""
    ref = f"hostile.action_{next(_NUMBERS)}"
    deployment.add_action(ref, script, **columns)
    return ref


def still_works(deployment: Deployment) -> bool:
    """Run one more execution on the same agent: it has neither ended nor lost a slot to the one before."""
    pid = deployment.agent.process.pid
    ended = [deployment.run(register(deployment, "echo fine\n")) for _ in range(4)]
    return [one.status for one in ended] == ["completed"] * 4 and deployment.agent.process.pid == pid


# --- what would stop a worker ---


@pytest.mark.parametrize(
    "body",
    [
        b'{"message_type": "://' + b"a" * 90_000 + b'"}',
        b"[" + b"{}," * 4_000_000 + b"{}]",
        b"[" * 200_000,
        b'{"message_type": "ExecutionRequested", "payload": {"execution_id": ' + b"9" * 5_000 + b"}}",
    ],
    ids=["pattern", "values", "depth", "number"],
)
def test_a_hostile_message_is_refused_and_the_next_one_is_read(deployment: Deployment, body: bytes) -> None:
    deployment.publish_raw(topology.dispatch_key(deployment.agent.worker_id), body)
    deployment.publish_raw(topology.cancel_key(deployment.agent.worker_id), body)
    assert still_works(deployment)


@pytest.mark.parametrize("name", ["stdout.log", "stderr.log", "result.json"])
def test_a_fifo_in_the_place_of_a_log_holds_nobody_up(deployment: Deployment, name: str) -> None:
    ref = register(deployment, "echo '{\"a\": 1}'; echo oops >&2\n", output_format="json")
    execution_id = deployment.schedule(ref)
    folder = deployment.artifacts / f"execution_{execution_id}"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    os.mkfifo(folder / name, 0o666)
    deployment.dispatch(execution_id)
    ended = deployment.wait(execution_id)
    assert (ended.status, ended.result["data"]) == ("completed", {"a": 1})
    assert (folder / name).is_file()


@pytest.mark.parametrize(
    ("script", "output_format"),
    [
        ("printf 0x; head -c 6000 /dev/zero | tr '\\0' f\n", "yaml"),
        ("head -c 9000 /dev/zero | tr '\\0' 9\n", "json"),
        ("yes {} | head -n 3300000\n", "jsonl"),
        ("head -c 200000 /dev/zero | tr '\\0' '['\n", "json"),
        ("head -c 9000000 /dev/zero\n", "json"),
    ],
    ids=["yaml number", "json number", "json lines", "depth", "zeros"],
)
def test_whatever_an_action_prints_its_execution_ends(deployment: Deployment, script: str, output_format: str) -> None:
    ended = deployment.run(register(deployment, script, output_format=output_format))
    assert ended.status == "completed"
    assert still_works(deployment)


def test_a_gigabyte_of_output_is_cut(deployment: Deployment) -> None:
    ended = deployment.run(register(deployment, "head -c 1000000000 /dev/zero | tr '\\0' x; exit 3\n"))
    assert (ended.status, ended.result["cause"]) == ("failed", "exit")
    kept = 10 * 1024 * 1024 - 128
    assert ended.result["stdout_bytes_truncated"] == 1_000_000_000 - kept
    assert ended.result["stdout"].startswith("x" * kept + "\n\n[OUTPUT TRUNCATED")
    assert still_works(deployment)


def test_one_unreadable_key_is_nobody_elses_problem(deployment: Deployment) -> None:
    key = deployment.insert(
        "key",
        {"name": "HUGE", "ref": "system.huge", "encrypted": False, "owner_type": "system", "value": Jsonb({"a": 0})},
    )
    deployment.database.execute(
        "UPDATE key SET value = ('{\"a\": ' || repeat('9', 5000) || '}')::jsonb WHERE id = %s", [key]
    )
    try:
        assert still_works(deployment)
        wanting = register(deployment, "true\n", param_schema={"HUGE": {"type": "object"}})
        ended = deployment.run(wanting)
        assert (ended.status, ended.result["cause"]) == ("failed", "secret_unavailable")
        assert "system.huge" in ended.result["error"]
    finally:
        deployment.database.execute("DELETE FROM key WHERE id = %s", [key])


# --- what would be overwritten or run ---


def test_a_link_in_the_place_of_an_executions_directory_leads_nowhere(deployment: Deployment) -> None:
    outside = deployment.directory / f"outside-{next(_NUMBERS)}"
    outside.mkdir()
    (outside / "stdout.log").write_text("theirs")
    (outside / "stdout.log").chmod(0o600)
    execution_id = deployment.schedule(register(deployment, "echo mine\n"))
    (deployment.artifacts / f"execution_{execution_id}").symlink_to(outside)
    deployment.dispatch(execution_id)
    assert deployment.wait(execution_id).status == "completed"
    (file,) = outside.iterdir()
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("theirs", 0o600)


def test_a_log_that_is_exchanged_while_it_is_written_is_not_kept(deployment: Deployment) -> None:
    outside = deployment.directory / f"outside-{next(_NUMBERS)}"
    outside.write_text("only-the-agent-may-read-this")
    live = "$ATTUNE_ARTIFACTS_DIR/execution_$ATTUNE_EXEC_ID/stdout.log"
    script = f"echo mine\nwhile ! [ -s {live} ]; do sleep 0.02; done\nrm {live}\nln -s {outside} {live}\necho more\n"
    ended = deployment.run(register(deployment, script))
    assert ended.status == "completed"
    rows = deployment.all(
        "SELECT file_path FROM artifact_version WHERE execution = %s AND meta->>'stream' = 'stdout'", [ended.id]
    )
    assert rows == []


@pytest.mark.parametrize("pack", ["/etc", "../../etc", "..", ".", "a/b"])
def test_a_pack_that_leads_out_of_its_base_is_refused(deployment: Deployment, pack: str) -> None:
    ref = register(deployment, "true\n")
    deployment.database.execute("UPDATE action SET pack_ref = %s WHERE ref = %s", [pack, ref])
    ended = deployment.run(ref)
    assert (ended.status, ended.result["cause"]) == ("failed", "invalid")
    assert "is no name of a directory" in ended.result["error"]


@pytest.mark.parametrize("name", ["BASH_ENV", "NODE_OPTIONS", "LD_PRELOAD", "PYTHONPATH", "PATH"])
def test_a_variable_that_loads_code_is_refused_by_its_name(deployment: Deployment, name: str) -> None:
    ended = deployment.run(register(deployment, "true\n"), env_vars={name: "/tmp/evil"})
    assert (ended.status, ended.result["cause"]) == ("failed", "invalid")
    assert name in ended.result["error"]


# --- what would leak ---


def everything_written(deployment: Deployment, execution: Execution) -> str:
    """All that is left of an execution: its row and artifacts, its messages, every file, the agent's log."""
    rows = deployment.all("SELECT * FROM execution WHERE id = %s", [execution.id])
    rows += deployment.all("SELECT * FROM artifact_version WHERE execution = %s", [execution.id])
    texts = [json.dumps(rows, default=str), deployment.agent.log()]
    texts += [message.body.decode() for message in deployment.messages(execution.id)]
    for folder, _, names in os.walk(deployment.directory):
        if Path(folder).is_relative_to(deployment.packs):
            continue
        for path in (Path(folder, name) for name in names):
            if path.is_file() and not path.is_symlink():
                texts.append(path.read_bytes().decode("utf-8", "replace"))
    return "\n".join(texts)


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("text", ['{"token": "%s"}', "no json: %s", '["%s"]'])
def test_a_secret_of_the_output_is_nowhere(deployment: Deployment, code: int, text: str) -> None:
    planted = f"planted-{os.urandom(8).hex()}"
    script = f"printf '%s\\n' {shlex.quote(text % planted)}\nexit {code}\n"
    schema = {"token": {"type": "string", "secret": True}}
    ended = deployment.run(register(deployment, script, output_format="json", out_schema=schema))
    assert ended.status == ("completed" if code == 0 else "failed")
    assert planted not in everything_written(deployment, ended)


def test_the_token_of_an_execution_is_masked(deployment: Deployment) -> None:
    assert JWT_SECRET
    script = 'echo "token $ATTUNE_API_TOKEN."; echo "$ATTUNE_API_TOKEN" >&2\n'
    ended = deployment.run(register(deployment, script), permission_set_refs=["standard"])
    assert ended.result["stdout"] == "token ***.\n"
    assert "eyJ" not in everything_written(deployment, ended)


def test_a_secret_in_the_context_is_masked_however_it_is_quoted(deployment: Deployment) -> None:
    planted = f'it\'s "{os.urandom(6).hex()}" & <more>'
    ref = register(deployment, "cat; printf '%s\\n' \"$ATTUNE_CONTEXT_DB\"\n")
    marker = {"$attune_secret": True, "redacted": True}
    execution_id = deployment.schedule(ref, {"parameters": {"a": 1}, "context": {"db": {"password": marker}}})
    deployment.insert(
        "execution_secret_value",
        {
            "entity_type": "execution_config",
            "entity_id": execution_id,
            "json_path": "/context/db/password",
            "source_kind": "action_param",
            "source_ref": "/password",
            "encrypted_value": Jsonb(encrypt(planted, ENCRYPTION_KEY)),
            "encryption_key_hash": None,
        },
    )
    deployment.dispatch(execution_id)
    ended = deployment.wait(execution_id)
    assert planted[6:18] not in everything_written(deployment, ended)


# --- limits of jobs ---


def test_a_job_beyond_its_limits_ends_with_cause_and_sentence_and_the_worker_works_on(deployment: Deployment) -> None:
    limits = {
        "ATTUNE__WORKER__LIMITS__MEMORY": str(60 << 20),
        "ATTUNE__WORKER__LIMITS__CPU_SECONDS": "1",
        "ATTUNE__WORKER__LIMITS__OPEN_FILES": "64",
    }
    hog = register(deployment, "x=$(head -c 100000000 /dev/zero | tr '\\0' x)\nsleep 600\n")
    burner = register(deployment, "while :; do :; done\n")
    reader = register(deployment, "until [ $(ulimit -t) = 1 ]; do :; done; ulimit -n; ulimit -t; ulimit -c\n")
    with deployment.another_agent("limited", **limits) as agent:
        ids = [deployment.start(ref, worker=agent.worker_id) for ref in (hog, burner, reader)]
        of_hog, of_burner, of_reader = (deployment.wait(id_) for id_ in ids)
    assert (of_hog.status, of_hog.result["cause"]) == ("failed", "oom")
    assert "worker.limits.memory allows 60 MiB" in of_hog.result["error"]
    assert (of_burner.status, of_burner.result["cause"], of_burner.result["signal"]) == ("failed", "signal", "SIGXCPU")
    assert "processor time" in of_burner.result["error"]
    assert of_reader.result["stdout"] == "64\n1\n0\n"


def test_a_job_beyond_its_processes_is_refused_more_and_says_so(deployment: Deployment) -> None:
    if (why := why_no_groups()) is not None:
        pytest.skip(f"no control groups can be made here: {why}")
    bomb = "import os, time\ntime.sleep(0.2)\nfor _ in range(500):\n    if os.fork() == 0: time.sleep(600)\n"
    ref = register(deployment, f"exec python3 -c {shlex.quote(bomb)}\n")
    with deployment.another_agent("counting", ATTUNE__WORKER__LIMITS__PROCESSES="50") as agent:
        ended = deployment.run(ref, worker=agent.worker_id)
        fine = deployment.run(register(deployment, "echo fine\n"), worker=agent.worker_id)
        assert "can't be kept" not in agent.log()
    assert (ended.status, ended.result["cause"]) == ("failed", "exit")
    assert "worker.limits.processes allows 50" in ended.result["error"]
    assert fine.status == "completed"


# --- what is seen of it ---


def test_metrics_count_and_a_trace_is_passed_on(deployment: Deployment) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    (port,) = free_ports(1)
    ref = register(deployment, 'echo "<$TRACEPARENT>"\n')
    with deployment.another_agent("measured", ATTUNE__WORKER__METRICS_ADDRESS=f"127.0.0.1:{port}") as agent:
        assert agent.worker_id is not None
        ended = []
        for headers, columns in (
            ({"traceparent": trace}, {}),
            ({"traceparent": "\n$(id)"}, {}),
            ({"traceparent": trace}, {"env_vars": Jsonb({"TRACEPARENT": "own"})}),
        ):
            id_ = deployment.schedule(ref, worker=agent.worker_id, **columns)
            row = deployment.execution(id_)
            payload = dispatch_payload(id_, agent.worker_id, row.action_ref, row.config, row.updated)
            message = json.loads(envelope("ExecutionRequested", payload, source="executor")[0])
            message["headers"] |= headers
            deployment.publish_raw(topology.dispatch_key(agent.worker_id), json.dumps(message).encode())
            ended.append(deployment.wait(id_).result["stdout"])
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = answer.read().decode()
        log = agent.log()
    assert ended == [f"<{trace}>\n", "<>\n", "<own>\n"]
    assert 'attune_worker_executions_total{cause="",status="completed"} 3\n' in metrics
    assert "attune_worker_queue_wait_seconds_count 3\n" in metrics
    assert "attune_worker_ready 1\n" in metrics
    lines = [json.loads(line) for line in log.splitlines()]
    messages = [line["message"] for line in lines]
    assert [text for text in messages if text.startswith("connected to PostgreSQL at ")]
    assert [text for text in messages if ": connected to RabbitMQ at " in text]
    (first, *_) = [line for line in lines if line["message"] == "execution ended"]
    assert (first["action"], first["status"]) == (ref, "completed")
    assert first["runtime"].startswith("shell")
