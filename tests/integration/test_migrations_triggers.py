"""What the schema does by itself: timestamps, history, audit, notifications, retention, owners of keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from agent.db.pool import Connection, Database

pytestmark = pytest.mark.postgres

ROWS = """
INSERT INTO identity (id, login) VALUES (3, 'ann');
INSERT INTO pack (id, ref, label, version) VALUES (1, 'core', 'Core', '1.0.0');
INSERT INTO action (id, ref, pack, pack_ref, label, entrypoint) VALUES (2, 'core.echo', 1, 'core', 'Echo', 'echo.sh');
INSERT INTO worker (id, name, worker_type, worker_role) VALUES (4, 'w', 'local', 'action');
INSERT INTO enforcement (id, rule_ref, trigger_ref, payload) VALUES (5, 'core.rule', 'core.timer', '{}');
"""


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """A connection that sees its own notifications at once, because it commits each statement."""
    with database.connect(autocommit=True) as opened:
        opened.execute(ROWS)
        yield opened


def one(connection: Connection, query: str, *parameters: Any) -> Any:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


def insert_execution(connection: Connection, **columns: Any) -> int:
    values = {"action": 2, "action_ref": "core.echo", "status": "scheduled", "worker": 4, **columns}
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    row = connection.execute(f"INSERT INTO execution ({names}) VALUES ({places}) RETURNING id", values).fetchone()
    assert row is not None
    return int(row[0])


def heard(connection: Connection) -> list[tuple[str, dict[str, Any]]]:
    """Return the notifications so far; a query fetches those that are on their way."""
    connection.execute("SELECT 1")
    return [(notice.channel, json.loads(notice.payload)) for notice in connection.notifies(timeout=0)]


def history(connection: Connection, table: str = "execution_history") -> list[tuple[Any, ...]]:
    return connection.execute(
        f"SELECT operation, changed_fields, old_values, new_values FROM {table} ORDER BY time, operation"
    ).fetchall()


def test_an_update_renews_the_time_of_the_row(connection: Connection) -> None:
    connection.execute("UPDATE pack SET updated = '2000-01-01' WHERE id = 1")
    assert one(connection, "SELECT now() - updated < interval '1 minute' FROM pack")


def test_triggers_work_for_a_session_that_names_the_schema_instead_of_searching_it(connection: Connection) -> None:
    schema = one(connection, "SELECT current_schema()")
    insert_execution(connection)
    connection.execute("SELECT set_config('search_path', '', false)")
    connection.execute(f"UPDATE {schema}.worker SET status = 'inactive'")
    connection.execute(f"UPDATE {schema}.execution SET status = 'running'")
    assert one(connection, f"SELECT count(*) FROM {schema}.worker_history WHERE operation = 'UPDATE'") == 1
    assert one(connection, f"SELECT count(*) FROM {schema}.audit_event WHERE event_type = 'execution.started'") == 1


def test_an_execution_leaves_one_row_of_history_per_write(connection: Connection) -> None:
    execution = insert_execution(connection, env_vars=json.dumps({"A": "1"}))
    connection.execute("UPDATE execution SET status = 'running', started_at = now() WHERE id = %s", [execution])
    connection.execute("UPDATE execution SET retry_count = 1, updated = now() WHERE id = %s", [execution])
    connection.execute("DELETE FROM execution WHERE id = %s", [execution])
    made, claimed, gone = history(connection)
    assert made[:3] == ("INSERT", [], None)
    assert made[3]["status"] == "scheduled"
    assert made[3]["env_vars"] == {"A": "1"}
    assert claimed[:2] == ("UPDATE", ["status", "started_at"])
    assert claimed[2] == {"status": "scheduled", "started_at": None}
    assert claimed[3]["status"] == "running"
    assert claimed[3]["started_at"]
    assert (gone[0], gone[1], gone[2]["status"], gone[3]) == ("DELETE", [], "running", None)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("executor", 3),
        ("worker", None),
        ("workflow_task", '{"task_name": "a"}'),
        ("env_vars", '{"B": "2"}'),
        ("started_at", "2026-01-01T00:00:00+00:00"),
    ],
)
def test_each_tracked_column_is_recorded_alone(connection: Connection, column: str, value: Any) -> None:
    execution = insert_execution(connection)
    connection.execute(f"UPDATE execution SET {column} = %s WHERE id = %s", [value, execution])
    operation, changed, was, became = history(connection)[1]
    assert (operation, changed) == ("UPDATE", [column])
    assert was == {column: 4 if column == "worker" else None}
    assert became == {column: json.loads(value) if str(value).startswith("{") else value}


def test_history_keeps_a_digest_of_the_result_and_never_its_text(connection: Connection) -> None:
    execution = insert_execution(connection)
    connection.execute("UPDATE execution SET result = %s WHERE id = %s", ['{"stdout": "hällo"}', execution])
    text = one(connection, "SELECT result::text FROM execution")
    _, changed, was, became = history(connection)[1]
    assert changed == ["result"]
    assert was == {"result": None}
    digest = "md5:" + hashlib.md5(text.encode()).hexdigest()
    assert became == {"result": {"digest": digest, "size": len(text.encode()), "type": "object"}}


@pytest.mark.parametrize(
    ("status", "event_type", "outcome"),
    [
        ("requested", "execution.requested", "success"),
        ("scheduling", "execution.status_changed", "success"),
        ("scheduled", "execution.scheduled", "success"),
        ("running", "execution.started", "success"),
        ("completed", "execution.completed", "success"),
        ("failed", "execution.failed", "failure"),
        ("canceling", "execution.canceling", "success"),
        ("cancelled", "execution.cancelled", "success"),
        ("timeout", "execution.timed_out", "failure"),
        ("abandoned", "execution.abandoned", "failure"),
    ],
)
def test_each_status_is_audited_under_its_name(
    connection: Connection, status: str, event_type: str, outcome: str
) -> None:
    insert_execution(connection, status=status)
    assert one(connection, "SELECT category, event_type, outcome FROM audit_event") == (
        "execution",
        event_type,
        outcome,
    )


def test_a_change_of_status_is_audited_with_its_circumstances(connection: Connection) -> None:
    execution = insert_execution(connection, executor=3, enforcement=5, max_retries=2)
    connection.execute("UPDATE execution SET status = 'running' WHERE id = %s", [execution])
    connection.execute("UPDATE execution SET status = 'running' WHERE id = %s", [execution])
    connection.execute("UPDATE execution SET result = '{}' WHERE id = %s", [execution])
    assert one(connection, "SELECT count(*) FROM audit_event") == 2
    found = one(
        connection,
        "SELECT actor_identity, resource_type, resource_id, resource_ref, details, correlation_chain"
        " FROM audit_event ORDER BY id DESC LIMIT 1",
    )
    assert found == (
        3,
        "execution",
        execution,
        "core.echo",
        {
            "operation": "UPDATE",
            "old_status": "scheduled",
            "new_status": "running",
            "action_ref": "core.echo",
            "enforcement_id": 5,
            "worker_id": 4,
            "retry_count": 0,
            "max_retries": 2,
        },
        {"execution_id": execution, "enforcement_id": 5},
    )


EXECUTION_KEYS = {
    "entity_type", "entity_id", "id", "action_id", "action_ref", "status", "enforcement", "rule_ref", "trigger_ref",
    "parent", "started_at", "workflow_task", "created", "updated",
}  # fmt: skip


def test_executions_announce_their_making_and_each_change_of_status(connection: Connection) -> None:
    connection.execute("LISTEN execution_created; LISTEN execution_status_changed")
    execution = insert_execution(connection, enforcement=5)
    connection.execute("UPDATE execution SET status = 'running' WHERE id = %s", [execution])
    connection.execute("UPDATE execution SET result = '{}' WHERE id = %s", [execution])
    (first, made), (second, changed) = heard(connection)
    assert (first, second) == ("execution_created", "execution_status_changed")
    assert set(made) == EXECUTION_KEYS
    assert set(changed) == EXECUTION_KEYS | {"old_status"}
    assert made["entity_type"] == "execution"
    assert made["entity_id"] == made["id"] == execution
    assert (made["rule_ref"], made["trigger_ref"], made["action_id"]) == ("core.rule", "core.timer", 2)
    assert (changed["old_status"], changed["status"]) == ("scheduled", "running")


def test_a_task_too_long_for_a_notification_is_left_out_of_it(connection: Connection) -> None:
    connection.execute("LISTEN execution_created")
    insert_execution(connection, workflow_task=json.dumps({"task_name": "x" * 9000}))
    [(_, payload)] = heard(connection)
    assert set(payload) == EXECUTION_KEYS - {"workflow_task"}


def test_a_notification_that_can_not_be_shortened_still_names_its_row(connection: Connection) -> None:
    connection.execute("LISTEN execution_created")
    execution = insert_execution(connection, action_ref="x" * 9000)
    assert heard(connection) == [
        ("execution_created", {"entity_type": "execution", "entity_id": execution, "id": execution})
    ]


def test_an_execution_of_a_workflow_announces_its_status_on_a_channel_of_its_own(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO workflow_definition (id, ref, pack, pack_ref, label, version, definition)"
        " VALUES (6, 'core.flow', 1, 'core', 'Flow', '1.0.0', '{}')"
    )
    connection.execute("LISTEN workflow_execution_status_changed")
    for execution in (insert_execution(connection, workflow_def=6), insert_execution(connection)):
        connection.execute("UPDATE execution SET status = 'running' WHERE id = %s", [execution])
    [(_, payload)] = heard(connection)
    assert (payload["workflow_def"], payload["old_status"], payload["status"]) == (6, "scheduled", "running")


def test_enforcements_and_chosen_channels_are_announced(connection: Connection) -> None:
    connection.execute("LISTEN enforcement_created; LISTEN enforcement_status_changed; LISTEN elsewhere")
    connection.execute("INSERT INTO enforcement (id, rule_ref, trigger_ref, payload) VALUES (7, 'r.r', 't.t', '{}')")
    connection.execute("UPDATE enforcement SET status = 'processed', config = '{}' WHERE id = 7")
    connection.execute("UPDATE enforcement SET config = '{\"a\": 1}' WHERE id = 7")
    connection.execute(
        "INSERT INTO notification (id, channel, entity_type, entity, activity)"
        " VALUES (8, 'elsewhere', 'pack', 'core', 'installed')"
    )
    made, changed, chosen = heard(connection)
    assert (made[0], made[1]["id"], made[1]["rule_ref"]) == ("enforcement_created", 7, "r.r")
    assert (changed[0], changed[1]["old_status"], changed[1]["status"]) == (
        "enforcement_status_changed",
        "created",
        "processed",
    )
    assert chosen == ("elsewhere", {"id": 8, "entity_type": "pack", "entity": "core", "activity": "installed"})


def test_a_heartbeat_is_no_history_but_a_change_of_the_worker_is(connection: Connection) -> None:
    connection.execute("UPDATE worker SET last_heartbeat = now() WHERE id = 4")
    connection.execute("UPDATE worker SET status = 'busy', capabilities = '{\"a\": 1}' WHERE id = 4")
    made, changed = history(connection, "worker_history")
    assert (made[0], made[3]["name"]) == ("INSERT", "w")
    assert changed == (
        "UPDATE",
        ["capabilities", "status"],
        {"capabilities": None, "status": "active"},
        {"capabilities": {"a": 1}, "status": "busy"},
    )


def test_the_history_of_a_sensors_process_names_its_worker(connection: Connection) -> None:
    connection.execute("INSERT INTO runtime (id, ref, name, distributions) VALUES (9, 'core.python', 'Python', '{}')")
    connection.execute(
        "INSERT INTO sensor (id, ref, pack, pack_ref, label, entrypoint, runtime, runtime_ref, enabled)"
        " VALUES (10, 'core.s', 1, 'core', 'S', 's.py', 9, 'core.python', true)"
    )
    connection.execute(
        "INSERT INTO sensor_process (sensor, sensor_ref, worker, worker_name) VALUES (10, 'core.s', 4, 'w')"
    )
    connection.execute("UPDATE sensor_process SET status = 'running', pid = 77")
    connection.execute("UPDATE sensor_process SET meta = '{\"a\": 1}'")
    assert history(connection, "sensor_process_history")[1][1:] == (
        ["pid", "status"],
        {"pid": None, "status": "starting"},
        {"pid": 77, "status": "running"},
    )
    assert one(connection, "SELECT DISTINCT entity_ref, worker_id, worker_name FROM sensor_process_history") == (
        "core.s",
        4,
        "w",
    )


def insert_artifact(connection: Connection, **columns: Any) -> int:
    values = {"ref": "core.echo.stdout.log", "type": "file_text", **columns}
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    row = connection.execute(f"INSERT INTO artifact ({names}) VALUES ({places}) RETURNING id", values).fetchone()
    assert row is not None
    return int(row[0])


def insert_version(connection: Connection, artifact: int, version: int) -> None:
    connection.execute(
        "INSERT INTO artifact_version (artifact, version, size_bytes, content_type) VALUES (%s, %s, %s, 'text/plain')",
        [artifact, version, version * 100],
    )


@pytest.mark.parametrize(("policy", "left"), [("versions", [3, 4]), ("days", [1, 2, 3, 4])])
def test_an_artifact_keeps_as_many_versions_as_its_policy_says(
    connection: Connection, policy: str, left: list[int]
) -> None:
    artifact = insert_artifact(connection, retention_policy=policy, retention_limit=2)
    for version in range(1, 5):
        insert_version(connection, artifact, version)
    assert one(connection, "SELECT array_agg(version ORDER BY version) FROM artifact_version") == left
    assert one(connection, "SELECT size_bytes, content_type FROM artifact") == (400, "text/plain")


def test_artifacts_announce_their_making_and_their_progress(connection: Connection) -> None:
    connection.execute("LISTEN artifact_created; LISTEN artifact_updated")
    insert_artifact(connection, type="progress", name="Progress")
    entries = [{"percent": 10, "message": "begun"}, {"percent": 55.5, "message": "half"}]
    connection.execute("UPDATE artifact SET data = %s", [json.dumps(entries)])
    (_, made), (channel, updated) = heard(connection)
    keys = {
        "entity_type", "entity_id", "id", "ref", "type", "visibility", "name", "scope", "owner", "content_type",
        "size_bytes", "created",
    }  # fmt: skip
    assert set(made) == keys
    assert (channel, set(updated) - keys) == (
        "artifact_updated",
        {"updated", "progress_percent", "progress_message", "progress_entries"},
    )
    assert (updated["progress_percent"], updated["progress_message"], updated["progress_entries"]) == (55.5, "half", 2)


def insert_key(connection: Connection, **columns: Any) -> Any:
    values = {"ref": "a.b", "name": "b", "encrypted": False, "value": '"x"', **columns}
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    row = connection.execute(f"INSERT INTO key ({names}) VALUES ({places}) RETURNING owner", values).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("columns", "owner"),
    [
        ({"owner_type": "system"}, "system"),
        ({"owner_type": "pack", "owner_pack": 1}, "1"),
        ({"owner_type": "action", "owner_action": 2}, "2"),
        ({"owner_type": "identity", "owner_identity": 3}, "3"),
    ],
)
def test_a_key_takes_its_owner_from_the_row_that_owns_it(
    connection: Connection, columns: dict[str, Any], owner: str
) -> None:
    assert insert_key(connection, **columns) == owner


@pytest.mark.parametrize(
    "columns",
    [
        {"owner_type": "system", "owner_pack": 1},
        {"owner_type": "pack"},
        {"owner_type": "pack", "owner_action": 2},
        {"owner_type": "pack", "owner_pack": 1, "owner_action": 2},
    ],
)
def test_a_key_with_no_owner_or_a_wrong_one_is_refused(connection: Connection, columns: dict[str, Any]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        insert_key(connection, **columns)


def test_workers_are_healthy_while_they_beat_and_complain_of_nothing(connection: Connection) -> None:
    for number, (name, status, age, health) in enumerate(
        [
            ("fresh", "active", 0, None),
            ("degraded", "active", 0, {"health": {"status": "degraded", "queue_depth": 7}}),
            ("ill", "active", 0, {"health": {"status": "unhealthy"}}),
            ("old", "active", 31, None),
            ("occupied", "busy", 0, None),
        ]
    ):
        connection.execute(
            "INSERT INTO worker (id, name, worker_type, worker_role, status, last_heartbeat, capabilities)"
            " VALUES (%s, %s, 'local', 'action', %s, now() - %s * interval '1 second', %s)",
            [20 + number, name, status, age, health and json.dumps(health)],
        )
    rows = connection.execute("SELECT name, health_status, queue_depth FROM healthy_workers ORDER BY name").fetchall()
    assert rows == [("degraded", "degraded", 7), ("fresh", "healthy", 0)]
    assert one(connection, "SELECT get_worker_queue_depth(id) FROM worker WHERE name = 'degraded'") == 7


def test_environments_tell_whether_they_are_fit(connection: Connection) -> None:
    connection.execute("INSERT INTO runtime (id, ref, name, distributions) VALUES (9, 'core.python', 'Python', '{}')")
    connection.execute(
        "INSERT INTO runtime_version (id, runtime, runtime_ref, version) VALUES (1, 9, 'core.python', '3')"
    )
    statement = (
        "INSERT INTO pack_environment (pack, pack_ref, runtime, runtime_ref, runtime_version, env_path, status,"
        " last_verified) VALUES (1, 'core', 9, 'core.python', %s, '/x', %s, now() - %s * interval '1 day')"
    )
    connection.execute(statement, [None, "ready", 8])
    connection.execute(statement, [1, "installing", 0])
    assert connection.execute(
        "SELECT env_key, needs_verification, health_status FROM v_pack_environment_status ORDER BY env_key"
    ).fetchall() == [("base:1:9", True, "healthy"), ("version:1:9:1", False, "provisioning")]
