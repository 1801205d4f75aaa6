"""The migrated schema is, name by name, the one that the other services of a deployment expect."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.db.pool import Connection, Database

FACTS = Path(__file__).with_name("schema_facts.txt")
# Tables that only this implementation has.
OWN = re.compile(r"^\w+ (attune_migration|mq_\w+|server_\w+)\b|^(index|trigger) \w+\.server_\w+ ")
TYPES = {"timestamp with time zone": "timestamptz", "character varying": "varchar"}

COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind = 'r' AND c.relnamespace = 'attune'::regnamespace
"""
CONSTRAINTS = """
SELECT c.relname, k.conname, k.contype::text, pg_get_constraintdef(k.oid)
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
WHERE k.contype IN ('c', 'f') AND c.relnamespace = 'attune'::regnamespace
"""
INDEXES = r"""
SELECT
    c.relname,
    i.relname,
    (
        SELECT string_agg(
            regexp_replace(pg_get_indexdef(i.oid, n, false), '^\((\(.*\))\)$', '\1')
            || CASE x.indoption[n - 1] WHEN 0 THEN '' WHEN 1 THEN ' desc NULLS LAST' ELSE ' desc' END,
            ', ' ORDER BY n
        )
        FROM generate_series(1, x.indnkeyatts::integer) AS n
    ),
    CASE WHEN x.indisprimary THEN ' primary' WHEN x.indisunique THEN ' unique' ELSE '' END,
    CASE m.amname WHEN 'btree' THEN '' ELSE ' ' || m.amname END,
    ' where ' || pg_get_expr(x.indpred, x.indrelid)
FROM pg_index AS x
JOIN pg_class AS c ON c.oid = x.indrelid
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_am AS m ON m.oid = i.relam
WHERE c.relnamespace = 'attune'::regnamespace
"""
TRIGGERS = """
SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid)
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND c.relnamespace = 'attune'::regnamespace
"""
ENUMS = """
SELECT t.typname, string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
FROM pg_type AS t
JOIN pg_enum AS e ON e.enumtypid = t.oid
WHERE t.typnamespace = 'attune'::regnamespace
GROUP BY t.typname
"""


@pytest.fixture
def facts(database: Database) -> set[str]:
    with database.connection() as connection:
        return {fact for fact in (*_relations(connection), *_triggers(connection)) if not OWN.match(fact)}


def expected(kind: str) -> set[str]:
    return {line for line in FACTS.read_text(encoding="utf-8").splitlines() if line.startswith(f"{kind} ")}


@pytest.mark.postgres
@pytest.mark.parametrize("kind", ["enum", "column", "check", "key", "index", "trigger"])
def test_the_migrated_schema_has_exactly_the_deployments(kind: str, facts: set[str]) -> None:
    found = {fact for fact in facts if fact.startswith(f"{kind} ")}
    assert sorted(expected(kind) - found) == [], "missing"
    assert sorted(found - expected(kind)) == [], "not in a deployment"


@pytest.mark.postgres
def test_the_migrated_schema_has_the_views_and_functions_that_others_call(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("SELECT health_status, queue_depth, consecutive_failures FROM healthy_workers")
        connection.execute("SELECT needs_verification, health_status FROM v_pack_environment_status")
        assert connection.execute("SELECT get_worker_queue_depth(1)").fetchone() == (None,)


@pytest.mark.postgres
def test_migrations_create_no_extension_and_leave_public_empty(database: Database) -> None:
    with database.connection() as connection:
        extensions = connection.execute("SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'").fetchall()
        public = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchall()
    assert (extensions, public) == ([], [])


def test_no_migration_names_a_schema() -> None:
    for path in (Path(__file__).parents[2] / "migrations").glob("*.sql"):
        # Functions keep the search path they were created with, whatever it was: that names no schema.
        text = path.read_text(encoding="utf-8").lower().replace("set search_path from current", "")
        assert not re.search(r"search_path|create schema|create extension|\battune\.|\bpublic\.", text), path.name


def _relations(connection: Connection) -> list[str]:
    found = [f"enum {name}: {values}" for name, values in connection.execute(ENUMS)]
    for table, column, kind, not_null, default in connection.execute(COLUMNS):
        found.append(f"column {table}.{column} {_type(kind)}{'!' if not_null else ''}{_default(default)}")
    for table, name, kind, definition in connection.execute(CONSTRAINTS):
        if kind == "c":
            found.append(f"check {table}.{name}: {definition.removeprefix('CHECK ')}")
        else:
            key = definition.removeprefix("FOREIGN KEY ").replace(" REFERENCES ", " -> ")
            found.append(f"key {table}.{name}: {key}")
    found.extend(_index(*row) for row in connection.execute(INDEXES))
    return found


def _type(name: str) -> str:
    for long, short in TYPES.items():
        name = name.replace(long, short)
    return name


def _default(expression: str | None) -> str:
    if expression is None:
        return ""
    return " = serial" if expression.startswith("nextval(") else " = " + " ".join(expression.split())


def _index(table: str, name: str, columns: str, unique: str, method: str, predicate: str | None) -> str:
    return f"index {table}.{name} ({columns}){unique}{method}{predicate or ''}"


def _triggers(connection: Connection) -> list[str]:
    return [_trigger(*row) for row in connection.execute(TRIGGERS)]


def _trigger(table: str, name: str, definition: str) -> str:
    shape = re.fullmatch(
        r"CREATE TRIGGER \w+ (BEFORE|AFTER) (.+) ON \S+ FOR EACH ROW (?:WHEN \((.+)\) )?EXECUTE FUNCTION (\S+)\(\)",
        definition,
    )
    assert shape is not None, definition
    when, events, condition, function = shape.groups()
    events = "/".join(sorted(events.lower().split(" or "), key=lambda event: "iud".index(event[0])))
    condition = f" when {condition}" if condition else ""
    return f"trigger {table}.{name} {when.lower()} {events}{condition} -> {function.rpartition('.')[2]}"
