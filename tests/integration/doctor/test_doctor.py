"""``attune-agent doctor`` against real servers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.services.pooler import pooler


def examine(tmp_path: Path, *words: str, **settings: str) -> tuple[int, dict[str, dict[str, Any]]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATTUNE")}
    for name in ("packs", "runtime_envs", "artifacts"):
        (tmp_path / name).mkdir(exist_ok=True)
    places = {
        "ATTUNE__PACKS_BASE_DIR": str(tmp_path / "packs"),
        "ATTUNE__RUNTIME_ENVS_DIR": str(tmp_path / "runtime_envs"),
        "ATTUNE__ARTIFACTS_DIR": str(tmp_path / "artifacts"),
    }
    command = [sys.executable, "-m", "agent", "doctor", "--json", *words]
    done = subprocess.run(command, env=environment | places | settings, capture_output=True, text=True, check=False)
    return done.returncode, {item["check"]: item for item in json.loads(done.stdout)["findings"]}


@pytest.mark.postgres
def test_a_container_in_order_has_no_failure(database_url: str, tmp_path: Path) -> None:
    code, found = examine(
        tmp_path,
        ATTUNE__DATABASE__URL=database_url,
        ATTUNE__MESSAGE_QUEUE__URL="database",
        ATTUNE_STOP_GRACE_PERIOD="40",
    )
    assert (code, [item for item in found.values() if item["verdict"] == "fail"]) == (0, [])
    assert found["database permissions"]["verdict"] == "ok"
    assert found["clock"]["verdict"] == "ok"
    assert found["grace period"]["verdict"] == "ok"
    assert found["artifacts_dir"]["verdict"] in ("ok", "warn")


@pytest.mark.postgres
def test_an_empty_database_is_named_with_its_remedy(empty_database_url: str, tmp_path: Path) -> None:
    code, found = examine(tmp_path, ATTUNE__DATABASE__URL=empty_database_url, ATTUNE__MESSAGE_QUEUE__URL="database")
    assert code == 1
    assert "worker (SELECT)" in found["database permissions"]["detail"]
    assert "attune db migrate" in found["database permissions"]["remedy"]


@pytest.mark.postgres
def test_a_permission_that_is_missing_is_named(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        schema = "attune"
        connection.execute("DROP ROLE IF EXISTS doctor_test")
        connection.execute("CREATE ROLE doctor_test LOGIN PASSWORD 'x'")
        connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO doctor_test")
        connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO doctor_test")
        connection.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO doctor_test")
        connection.execute(f"REVOKE UPDATE ON {schema}.execution FROM doctor_test")
        connection.execute(f"REVOKE USAGE ON {schema}.worker_id_seq FROM doctor_test")
        try:
            parts = urlsplit(database_url)
            place = parts.netloc.rpartition("@")[2]
            url = parts._replace(netloc=f"doctor_test:x@{place}").geturl()
            _, found = examine(tmp_path, ATTUNE__DATABASE__URL=url, ATTUNE__MESSAGE_QUEUE__URL="database")
        finally:
            connection.execute("DROP OWNED BY doctor_test")
            connection.execute("DROP ROLE doctor_test")
    assert found["database permissions"]["detail"] == "missing: execution (UPDATE), worker_id_seq (USAGE)"


@pytest.mark.postgres
def test_a_pooler_that_shares_sessions_is_a_failure_with_its_remedy(database_url: str, tmp_path: Path) -> None:
    with pooler(database_url, "transaction") as url:
        code, found = examine(tmp_path, ATTUNE__DATABASE__URL=url, ATTUNE__MESSAGE_QUEUE__URL="database")
    assert (code, found["database"]["verdict"]) == (1, "fail")
    assert "gives each transaction another session" in found["database"]["detail"]
    assert "pool_mode = session" in found["database"]["remedy"]
    with pooler(database_url, "session") as url:
        _, found = examine(tmp_path, ATTUNE__DATABASE__URL=url, ATTUNE__MESSAGE_QUEUE__URL="database")
    assert found["database"]["verdict"] == "ok"


@pytest.mark.rabbitmq
@pytest.mark.postgres
def test_rabbitmq_is_reached(database_url: str, amqp_vhost_url: str, tmp_path: Path) -> None:
    _, found = examine(tmp_path, ATTUNE__DATABASE__URL=database_url, ATTUNE__MESSAGE_QUEUE__URL=amqp_vhost_url)
    assert found["broker"]["verdict"] == "ok"


def test_what_can_not_be_reached_is_a_failure_with_a_remedy(tmp_path: Path) -> None:
    code, found = examine(
        tmp_path,
        ATTUNE__DATABASE__URL="postgresql://u:secret@127.0.0.1:1/d",
        ATTUNE__MESSAGE_QUEUE__URL="amqp://u:secret@127.0.0.1:1/",
        ATTUNE__MESSAGE_QUEUE__CONNECT_TIMEOUT="1",
    )
    assert code == 1
    assert {found[name]["verdict"] for name in ("database", "broker")} == {"fail"}
    assert "secret" not in json.dumps(found)
    assert found["database"]["remedy"]


def test_a_grace_period_shorter_than_the_drain_is_named(tmp_path: Path) -> None:
    _, found = examine(
        tmp_path,
        ATTUNE_STOP_GRACE_PERIOD="10",
        ATTUNE__WORKER__SHUTDOWN_TIMEOUT="30",
        ATTUNE__DATABASE__URL="postgresql://127.0.0.1:1/d",
    )
    assert found["grace period"]["verdict"] == "warn"


def test_a_drain_that_follows_the_grace_period_is_in_order(tmp_path: Path) -> None:
    _, found = examine(tmp_path, ATTUNE_STOP_GRACE_PERIOD="10", ATTUNE__DATABASE__URL="postgresql://127.0.0.1:1/d")
    assert found["grace period"]["verdict"] == "ok"
