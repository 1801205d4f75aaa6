"""Statements that run again and again find what they need by an index, however many rows have ended or wait.

Both plans are looked at that the server may use for a prepared statement: for these very values, and for any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from agent.db.queries import load_queries
from agent.settings import DatabaseSettings
from tests.services.postgres import fresh_database

pytestmark = pytest.mark.postgres

FINISHED, WAITING = 8_000, 800

#: Type and value of each parameter.
VALUES = {
    "action": ("bigint", "3"),
    "placement": ("text", "md5(';;')"),
    "limit": ("integer", "2000"),
    "offset": ("integer", "0"),
    "count": ("integer", "12"),
    "workers": ("bigint[]", "array_fill(1::bigint, ARRAY[12])"),
    "worker": ("bigint", "1"),
    "ids": ("bigint[]", "ARRAY[8101, 8102, 8103]"),
    "id": ("bigint", "8101"),
    "updated": ("timestamptz[]", "array_fill(now(), ARRAY[3])"),
    "seconds": ("float8", "60"),
    "silence": ("float8", "90"),
    "result": ("jsonb", "'{}'"),
    "since": ("timestamptz", "now() - interval '2 minutes'"),
    "reason": ("text", "'again'"),
    "delay": ("float8", "10"),
    "max_retries": ("integer", "3"),
    "step": ("integer", "1"),
    "status": ("text", "'failed'"),
    "action_ref": ("text", "'plans.one'"),
    "parent": ("bigint", "17"),
    "after": ("bigint", "8000"),
    "after_created": ("timestamptz", "now()"),
}


@pytest.fixture(scope="module")
def connection(postgres_url: str, migrated_template: str) -> Iterator[psycopg.Connection[Any]]:
    """A database in which much has ended and something waits, runs, failed, and is to be retried."""
    with fresh_database(postgres_url, "plans", template=migrated_template) as url:
        schema = DatabaseSettings().schema
        with psycopg.connect(url, autocommit=True, options=f"-c search_path={schema},public") as made:
            fill(made)
            yield made


def fill(connection: psycopg.Connection[Any]) -> None:
    connection.execute("SET session_replication_role = replica")  # no history, and no notifications
    connection.execute("INSERT INTO pack (ref, label, version) VALUES ('plans', 'Plans', '1.0.0')")
    for name in ("one", "two", "three"):
        connection.execute(
            "INSERT INTO action (ref, pack, pack_ref, label, entrypoint)"
            " SELECT 'plans.' || %s::text, id, ref, 'x', 'x' FROM pack WHERE ref = 'plans'", [name],
        )  # fmt: skip
    connection.execute(
        "INSERT INTO worker (name, worker_type, worker_role, status, last_heartbeat, capabilities)"
        " SELECT 'w' || n, 'local', 'action', 'active', now(), '{}' FROM generate_series(1, 20) AS n"
    )
    insert = (
        "INSERT INTO execution (action, action_ref, config, status, result, worker, worker_selector, parent, created,"
        " updated)"
        " SELECT a.id, a.ref, '{}', %(status)s::execution_status_enum, %(result)s, %(worker)s + n %% 20 + 1,"
        "        CASE WHEN %(status)s = 'requested' AND n %% 2 = 0 THEN '{\"no\": \"where\"}'::jsonb END,"
        "        CASE WHEN n %% 10 = 0 THEN n END, now() - n * interval '1 second', now() - n * interval '1 second'"
        "   FROM action a, generate_series(1, %(count)s) AS n"
        "  WHERE a.ref = 'plans.' || (ARRAY['one', 'two', 'three'])[n %% 3 + 1]"
    )
    for status, count in (
        ("completed", FINISHED),
        ("failed", FINISHED // 50),
        ("requested", WAITING),
        ("running", 40),
        ("scheduled", 20),
        ("canceling", 2),
    ):
        given = None if status == "requested" else 0
        values = {"status": status, "count": count, "worker": given, "result": '{"exit_code": 0}'}
        connection.execute(insert, values)
    connection.execute("RESET session_replication_role")
    connection.execute("VACUUM ANALYZE")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def plan_of(connection: psycopg.Connection[Any], statement: str, mode: str) -> list[dict[str, Any]]:
    """The nodes of the plan of a statement with named parameters."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    text = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement).replace("%%", "%")
    types = ", ".join(VALUES[name][0] for name in names)
    values = ", ".join(VALUES[name][1] for name in names)
    with connection.transaction(force_rollback=True):
        connection.execute(f"SET LOCAL plan_cache_mode = {mode}".encode())
        connection.execute(f"PREPARE looked_at {f'({types})' if types else ''} AS {text}".encode())
        run = f"EXECUTE looked_at {f'({values})' if values else ''}"
        row = connection.execute(f"EXPLAIN (FORMAT JSON) {run}".encode()).fetchone()
    connection.execute("DEALLOCATE looked_at")
    assert row is not None
    return list(nodes(row[0][0]["Plan"]))


def whole_tables(plan: list[dict[str, Any]]) -> list[str]:
    """The large tables that a plan reads from end to end."""
    return [node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"]


#: Where another index would do as well for a few rows, and not for a hundred thousand.
WANTED = {
    "demands": "server_execution_requested",
    "place": "server_execution_requested",
    "fail_unplaceable": "server_execution_requested",
    "restore_scheduling": "server_execution_scheduling",
    "recall_from_worker": "server_execution_in_hand",
}


def of_executions(package: str) -> list[str]:
    return [
        name for name, text in load_queries(package).items() if re.search(r"\b(FROM|UPDATE|JOIN) execution\b", text)
    ]


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", of_executions("agent.dispatch"))
def test_no_statement_of_the_dispatcher_reads_all_executions(
    connection: psycopg.Connection[Any], name: str, mode: str
) -> None:
    plan = plan_of(connection, load_queries("agent.dispatch")[name], mode)
    assert "execution" not in whole_tables(plan), plan
    if name in WANTED:
        assert WANTED[name] in [node.get("Index Name") for node in plan], plan


FILTERS = {
    "all": "true",
    "by status": "e.status = %(status)s::execution_status_enum",
    "by action": "e.action_ref = %(action_ref)s",
    "by action and status": "e.action_ref = %(action_ref)s AND e.status = %(status)s::execution_status_enum",
    "by worker": "e.worker = %(worker)s",
    "by parent": "e.parent = %(parent)s",
    "top level": "e.parent IS NULL",
    "from a place on": "(e.created, e.id) < (%(after_created)s, %(after)s)",
}


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("what", FILTERS)
def test_no_page_of_executions_reads_or_sorts_all_of_them(
    connection: psycopg.Connection[Any], what: str, mode: str
) -> None:
    text = (
        load_queries("agent.server")["list_executions"].replace("{filters}", FILTERS[what]).replace("%(limit)s", "51")
    )
    plan = plan_of(connection, text, mode)
    assert "execution" not in whole_tables(plan), plan
