"""Submitting, watching and cancelling executions, and looking at the fleet, against a real database."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from agent.control.execution_output import LogReader
from agent.control.executions import cancel, find, recent, wait
from agent.control.fleet import runtimes, versions, workers
from agent.control.submission import actions, find_action, submit
from agent.db.pool import Database
from agent.errors import AgentError, BrokerUnavailable, ConfigurationError, UsageError
from agent.execution.secrets.encryption import decrypt
from agent.mq.broker import Outgoing
from agent.packs.loader import register
from agent.packs.parser import read_pack
from agent.paths import shipped
from agent.threads import ThreadGroup
from tests.services.waiting import not_for_ever

pytestmark = pytest.mark.postgres

KEY = "an encryption key of 32 characters or more"


@pytest.fixture
def deployment(database: Database) -> Database:
    """A database with the core pack."""
    register(database, read_pack(shipped("packs") / "core"))
    return database


@pytest.fixture
def add_worker(deployment: Database) -> Callable[..., int]:
    """Insert a worker row that looks alive."""

    def add(name: str, *, status: str = "active", runtimes: tuple[str, ...] = ("shell",), **more: Any) -> int:
        capabilities = Jsonb({"runtimes": list(runtimes), **more})
        with deployment.connection() as connection:
            row = connection.execute(
                "INSERT INTO worker (name, worker_type, worker_role, status, capabilities, last_heartbeat)"
                " VALUES (%s, 'local', 'action', %s, %s, now()) RETURNING id",
                [name, status, capabilities],
            ).fetchone()
        assert row is not None
        return int(row[0])

    return add


def set_status(database: Database, execution_id: int, status: str, result: Any = None) -> None:
    with database.connection() as connection:
        connection.execute(
            "UPDATE execution SET status = %s, result = %s, started_at = coalesce(started_at, now()) WHERE id = %s",
            [status, Jsonb(result), execution_id],
        )


def refuse(message: Outgoing) -> None:
    raise BrokerUnavailable("no broker here")


def test_a_submitted_execution_is_scheduled_and_dispatched_as_the_executor_does(deployment, add_worker) -> None:
    worker_id = add_worker("w")
    sent: list[Outgoing] = []
    submitted = submit(deployment, sent.append, find_action(deployment, "core.echo"), {"message": "hi"})
    found = find(deployment, submitted.id)
    assert (found.status, found.worker, found.parameters) == ("scheduled", "w", {"message": "hi"})
    (message,) = sent
    assert (message.exchange, message.routing_key) == ("attune.executions", f"execution.dispatch.worker.{worker_id}")
    document = json.loads(message.body)
    assert document["message_type"] == "ExecutionRequested"
    payload = document["payload"]
    assert payload["execution_id"] == submitted.id
    assert payload["config"] == {"message": "hi", "uppercase": False}, "declared defaults are filled in"
    assert payload["scheduled_attempt_updated_at"] == found.updated.isoformat().replace("+00:00", "Z")


def test_wrong_parameters_are_all_named_and_nothing_is_created(deployment, add_worker) -> None:
    add_worker("w")
    with pytest.raises(UsageError) as caught:
        submit(deployment, refuse, find_action(deployment, "core.echo"), {"message": 1, "loud": True})
    assert "message must be a string" in str(caught.value)
    assert "loud is not a parameter" in str(caught.value)
    assert recent(deployment) == []


def test_when_no_worker_fits_each_reason_is_said_and_nothing_is_created(deployment, add_worker) -> None:
    add_worker("a", runtimes=("python",))
    add_worker("b", status="inactive")
    with pytest.raises(AgentError) as caught:
        submit(deployment, refuse, find_action(deployment, "core.echo"), {})
    assert "a offers python; not shell; b is inactive" in str(caught.value)
    assert recent(deployment) == []


def test_without_any_worker_the_hint_says_how_to_start_one(deployment) -> None:
    with pytest.raises(AgentError, match="no worker is registered"):
        submit(deployment, refuse, find_action(deployment, "core.echo"), {})


def test_an_execution_that_could_not_be_dispatched_is_failed(deployment, add_worker) -> None:
    add_worker("w")
    with pytest.raises(BrokerUnavailable):
        submit(deployment, refuse, find_action(deployment, "core.echo"), {})
    (failed,) = recent(deployment)
    assert failed.status == "failed"
    assert failed.error == "could not be dispatched: no broker here"


def test_a_misspelt_action_gets_a_suggestion(deployment) -> None:
    with pytest.raises(UsageError) as caught:
        find_action(deployment, "core.ehco")
    assert caught.value.hint is not None
    assert "core.echo" in caught.value.hint
    assert "core.echo" in actions(deployment, "core")


def test_waiting_ends_at_once_when_the_execution_does(deployment, add_worker) -> None:
    add_worker("w")
    submitted = submit(deployment, lambda message: None, find_action(deployment, "core.echo"), {})
    seen: list[str] = []
    listening = threading.Event()

    def on_change(execution: Any) -> None:
        seen.append(execution.status)
        listening.set()

    threads = ThreadGroup()

    def finish() -> None:
        listening.wait(60)
        set_status(deployment, submitted.id, "completed", {"succeeded": True, "duration_ms": 1500})

    threads.start("finish", finish)
    with not_for_ever():  # the notification woke it, not the next look
        ended = wait(deployment, submitted.id, timeout=1200, on_change=on_change, pause=600)
    threads.join(60)
    assert (ended.status, ended.seconds, seen) == ("completed", 1.5, ["scheduled", "completed"])


def test_waiting_survives_a_lost_connection(deployment, add_worker) -> None:
    add_worker("w")
    submitted = submit(deployment, lambda message: None, find_action(deployment, "core.echo"), {})
    looks = 0

    def on_change(execution: Any) -> None:
        nonlocal looks
        looks += 1
        with deployment.connection() as connection:
            if looks == 1:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        if looks == 2:
            set_status(deployment, submitted.id, "completed")

    assert wait(deployment, submitted.id, timeout=30, on_change=on_change, pause=0.05).status == "completed"
    assert looks >= 2


def test_waiting_gives_up_after_its_timeout(deployment, add_worker) -> None:
    add_worker("w")
    submitted = submit(deployment, lambda message: None, find_action(deployment, "core.echo"), {})
    assert wait(deployment, submitted.id, timeout=0.05).status == "scheduled"


def test_what_waits_is_cancelled_at_once_without_asking_a_worker(deployment, add_worker) -> None:
    add_worker("w")
    submitted = submit(deployment, lambda message: None, find_action(deployment, "core.echo"), {})
    sent: list[Outgoing] = []
    assert cancel(deployment, sent.append, submitted.id) == "cancelled"
    keys = {message.routing_key for message in sent}
    assert "execution.completed" in keys and not [key for key in keys if key.startswith("execution.cancel.")]
    found = find(deployment, submitted.id)
    assert (found.status, found.error) == ("cancelled", "Cancelled by user before execution started")


def test_what_waits_is_cancelled_also_while_the_broker_is_away(deployment, add_worker) -> None:
    add_worker("w")
    submitted = submit(deployment, lambda message: None, find_action(deployment, "core.echo"), {})
    assert cancel(deployment, refuse, submitted.id) == "cancelled"


def test_what_runs_is_cancelled_by_its_worker(deployment, add_worker) -> None:
    worker_id = add_worker("w")
    submitted = submit(deployment, lambda message: None, find_action(deployment, "core.echo"), {})
    set_status(deployment, submitted.id, "running")
    sent: list[Outgoing] = []
    for _ in range(2):  # asking again repeats the request: the first may have been lost
        assert cancel(deployment, sent.append, submitted.id) == "canceling"
    request = f"execution.cancel.worker.{worker_id}"
    assert [message.routing_key for message in sent] == ["execution.status.changed", request, request]
    assert json.loads(sent[1].body)["payload"] == {"execution_id": submitted.id, "worker_id": worker_id}
    assert find(deployment, submitted.id).status == "canceling"


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "timeout", "abandoned"])
def test_what_has_ended_cant_be_cancelled(deployment, add_worker, status: str) -> None:
    add_worker("w")
    submitted = submit(deployment, lambda message: None, find_action(deployment, "core.echo"), {})
    set_status(deployment, submitted.id, status)
    with pytest.raises(AgentError, match=f"already ended: {status}"):
        cancel(deployment, refuse, submitted.id)


@pytest.mark.parametrize("call", [find, lambda database, number: cancel(database, refuse, number)])
def test_an_execution_that_does_not_exist_is_an_error(deployment, call) -> None:
    with pytest.raises(AgentError, match="there is no execution 4711"):
        call(deployment, 4711)


def test_executions_are_listed_newest_first_and_filtered(deployment, add_worker) -> None:
    add_worker("w")
    for ref in ("core.echo", "core.noop", "core.echo"):
        submit(deployment, lambda message: None, find_action(deployment, ref), {})
    everything = recent(deployment)
    assert [item.action_ref for item in everything] == ["core.echo", "core.noop", "core.echo"]
    assert [item.id for item in everything] == sorted((item.id for item in everything), reverse=True)
    assert len(recent(deployment, limit=2)) == 2
    assert [item.action_ref for item in recent(deployment, action_ref="core.noop")] == ["core.noop"]
    assert recent(deployment, status="running") == []


def test_secret_parameters_are_stored_encrypted_sent_as_markers_and_never_shown(deployment, add_worker) -> None:
    add_worker("w", runtimes=("python",))
    action = find_action(deployment, "core.http_request")
    given = {"url": "http://x", "bearer_token": "hunter2"}
    sent: list[Outgoing] = []
    submitted = submit(deployment, sent.append, action, given, encryption_key=KEY)
    assert find(deployment, submitted.id).parameters == {"url": "http://x", "bearer_token": "[redacted]"}
    with deployment.connection() as connection:
        (config,) = connection.execute("SELECT config FROM execution").fetchone() or ()
        rows = connection.execute(
            "SELECT entity_id, json_path, encrypted_value, encryption_key_hash FROM execution_secret_value"
            " WHERE entity_type = 'execution_config'"
        ).fetchall()
    assert config == {"url": "http://x", "bearer_token": {"$attune_secret": True, "redacted": True}}
    assert b"hunter2" not in sent[0].body
    ((entity, path, value, digest),) = rows
    assert (entity, path) == (submitted.id, "/bearer_token")
    assert decrypt(value, KEY, digest) == "hunter2"


def test_a_secret_parameter_is_not_stored_readable_for_want_of_a_key(deployment, add_worker) -> None:
    add_worker("w", runtimes=("python",))
    action = find_action(deployment, "core.http_request")
    with pytest.raises(ConfigurationError, match="bearer_token is secret"):
        submit(deployment, refuse, action, {"url": "http://x", "bearer_token": "hunter2"})
    assert recent(deployment) == []


def test_workers_are_listed_with_what_they_run(deployment, add_worker) -> None:
    add_worker("b")
    add_worker("a", status="inactive")
    submitted = submit(deployment, lambda message: None, find_action(deployment, "core.echo"), {})
    set_status(deployment, submitted.id, "running")
    assert [(item.name, item.alive, item.running) for item in workers(deployment)] == [("a", True, 0), ("b", True, 1)]
    assert [item.name for item in workers(deployment, "b")] == ["b"]
    with pytest.raises(AgentError, match="there is no worker c"):
        workers(deployment, "c")


def test_runtimes_are_listed_with_versions_and_the_workers_that_offer_them(deployment, add_worker) -> None:
    add_worker("w", runtimes=("bash", "nodejs"))
    add_worker("gone", status="inactive", runtimes=("bash",))
    by_ref = {item.ref: item for item in runtimes(deployment)}
    assert by_ref["core.shell"].workers == ["w"]
    assert by_ref["core.nodejs"].workers == ["w"]
    assert by_ref["core.python"].workers == []
    assert by_ref["core.python"].versions == ["3.11", "3.12", "3.13"]


def test_versions_are_listed_for_one_runtime_or_all(deployment) -> None:
    assert [item.version for item in versions(deployment, "core.python")] == ["3.11", "3.12", "3.13"]
    assert {"core.python", "core.nodejs"} <= {item.runtime_ref for item in versions(deployment)}
    assert versions(deployment, "core.shell") == []
    with pytest.raises(AgentError, match=r"there is no runtime core\.cobol"):
        versions(deployment, "core.cobol")


def test_a_log_is_read_live_and_completed_from_the_artifact(deployment, add_worker, tmp_path) -> None:
    add_worker("w")
    submitted = submit(deployment, lambda message: None, find_action(deployment, "core.echo"), {})
    reader = LogReader(deployment, tmp_path, submitted.id, "stdout")
    assert list(reader.read_live()) == []
    reader.live_path.parent.mkdir()
    reader.live_path.write_bytes(b"one\n")
    assert list(reader.read_live()) == [b"one\n"]
    assert list(reader.read_live()) == []
    final = tmp_path / "core/echo/stdout/log/v1.txt"
    final.parent.mkdir(parents=True)
    final.write_bytes(b"one\ntwo\n")
    reader.live_path.unlink()
    with deployment.connection() as connection:
        connection.execute(
            "WITH a AS (INSERT INTO artifact (ref, scope, owner, type) VALUES"
            " ('core.echo.stdout.log', 'action', 'core.echo', 'file_text') RETURNING id)"
            " INSERT INTO artifact_version (artifact, version, execution, file_path, meta)"
            " SELECT id, 1, %s, 'core/echo/stdout/log/v1.txt', '{\"stream\": \"stdout\"}' FROM a",
            [submitted.id],
        )
    assert list(reader.read_rest()) == [b"two\n"]
    assert list(LogReader(deployment, tmp_path, submitted.id, "stderr").read_rest()) == []
