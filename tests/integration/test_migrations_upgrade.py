"""Upgrading a database from before actions and sensors shared their runtimes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.db.migrations import apply_migrations
from agent.db.pool import Database
from agent.paths import shipped
from agent.settings import DatabaseSettings

pytestmark = pytest.mark.postgres

UNIFY = "20260203000001_unify_runtimes.sql"
OLD_ROWS = """
INSERT INTO pack (id, ref, label, version) VALUES (1, 'core', 'Core', '1.0.0'), (2, 'mine', 'Mine', '1.0.0');
INSERT INTO runtime (id, ref, pack, pack_ref, runtime_type, name, distributions, execution_config) VALUES
    (10, 'core.action.python', 1, 'core', 'action', 'Python', '{"verification": {"commands": [1]}}', '{}'),
    (11, 'core.sensor.python', 1, 'core', 'sensor', 'Python', '{"verification": {}, "min_version": "3.8"}', '{"a": 1}'),
    (12, 'core.action.shell', 1, 'core', 'action', 'Shell', '{}', '{}'),
    (13, 'core.sensor.builtin', 1, 'core', 'sensor', 'Built-in', '{}', '{}'),
    (14, 'core.sensor.nodejs', 1, 'core', 'sensor', 'Node.js', '{}', '{}'),
    (15, 'core.action.perl', 1, 'core', 'action', 'Perl', '{}', '{}'),
    (16, 'core.perl', 1, 'core', 'sensor', 'Perl', '{}', '{}'),
    (19, 'core.sensor.perl', 1, 'core', 'sensor', 'Perl', '{}', '{}'),
    (17, 'mine.action.python', 2, 'mine', 'action', 'My Python', '{}', '{}'),
    (18, 'auto.ruby', NULL, NULL, 'action', 'Ruby', '{}', '{}');
INSERT INTO runtime_version (id, runtime, runtime_ref, version) VALUES
    (20, 10, 'core.action.python', '3.11'), (21, 11, 'core.sensor.python', '3.11'),
    (22, 11, 'core.sensor.python', '3.12'), (23, 15, 'core.action.perl', '5.36'),
    (24, 19, 'core.sensor.perl', '5.36');
INSERT INTO action (id, ref, pack, pack_ref, label, entrypoint, runtime) VALUES
    (30, 'core.a', 1, 'core', 'A', 'a.py', 10), (31, 'core.b', 1, 'core', 'B', 'b.sh', 12),
    (32, 'core.c', 1, 'core', 'C', 'c.pl', 15), (33, 'core.d', 1, 'core', 'D', 'd.py', 11),
    (34, 'core.e', 1, 'core', 'E', 'e', NULL);
INSERT INTO sensor (id, ref, pack, pack_ref, label, entrypoint, runtime, runtime_ref, enabled) VALUES
    (40, 'core.s', 1, 'core', 'S', 's.py', 11, 'core.sensor.python', true),
    (41, 'core.t', 1, 'core', 'T', 't', 13, 'core.sensor.builtin', true),
    (42, 'core.u', 1, 'core', 'U', 'u.js', 14, 'core.sensor.nodejs', true);
INSERT INTO worker (id, name, worker_type, worker_role, runtime) VALUES (50, 'w', 'local', 'sensor', 11);
INSERT INTO pack_environment (id, pack, pack_ref, runtime, runtime_ref, runtime_version, env_path) VALUES
    (60, 1, 'core', 10, 'core.action.python', NULL, '/a'),
    (61, 1, 'core', 11, 'core.sensor.python', NULL, '/b'),
    (62, 1, 'core', 11, 'core.sensor.python', 22, '/c');
"""


@pytest.fixture
def upgraded(empty_database_url: str, tmp_path: Path) -> Iterator[Database]:
    """A database that held the old rows when the later migrations came."""
    database = Database(DatabaseSettings(url=empty_database_url), application_name="attune-test")
    old = tmp_path / "old"
    old.mkdir()
    for path in shipped("migrations").glob("20250101*.sql"):
        if path.name < "20250101000012":
            shutil.copy(path, old)
    apply_migrations(database, old)
    with database.connection() as connection:
        connection.execute(OLD_ROWS)
    applied = [migration.name for migration in apply_migrations(database, shipped("migrations"))]
    assert applied[:2] == ["20250101000012_agent_runtime_detection.sql", UNIFY]
    yield database
    database.close()


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.connection() as connection:
        return connection.execute(query).fetchall()


def test_duplicates_are_merged_and_take_the_short_name(upgraded: Database) -> None:
    assert rows(upgraded, "SELECT id, ref FROM runtime ORDER BY id") == [
        (10, "core.python"),
        (12, "core.shell"),
        (13, "core.sensor.builtin"),
        (14, "core.nodejs"),
        (16, "core.perl"),
        (17, "mine.python"),
        (18, "auto.ruby"),
    ]


def test_actions_and_sensors_follow_their_runtime(upgraded: Database) -> None:
    assert rows(upgraded, "SELECT id, runtime FROM action ORDER BY id") == [
        (30, 10),
        (31, 12),
        (32, 16),
        (33, 10),
        (34, None),
    ]
    assert rows(upgraded, "SELECT id, runtime, runtime_ref FROM sensor ORDER BY id") == [
        (40, 10, "core.python"),
        (41, 13, "core.sensor.builtin"),
        (42, 14, "core.nodejs"),
    ]
    assert rows(upgraded, "SELECT runtime FROM worker") == [(10,)]


def test_what_only_the_duplicate_knew_is_kept(upgraded: Database) -> None:
    assert rows(upgraded, "SELECT distributions, execution_config FROM runtime WHERE id = 10") == [
        ({"verification": {"commands": [1]}, "min_version": "3.8"}, {"a": 1})
    ]
    assert rows(upgraded, "SELECT id, runtime, runtime_ref FROM runtime_version ORDER BY id") == [
        (20, 10, "core.python"),
        (22, 10, "core.python"),
        (23, 16, "core.perl"),
    ]


def test_environments_of_the_kept_runtime_stay_and_others_are_forgotten(upgraded: Database) -> None:
    assert rows(upgraded, "SELECT id, runtime, runtime_ref, env_key FROM pack_environment") == [
        (60, 10, "core.python", "base:1:10")
    ]


def test_the_historic_type_is_gone(upgraded: Database) -> None:
    assert rows(upgraded, "SELECT 1 FROM information_schema.columns WHERE column_name = 'runtime_type'") == []
    assert rows(upgraded, "SELECT 1 FROM pg_type WHERE typname = 'runtime_type_enum'") == []
    assert rows(upgraded, "SELECT 1 FROM pg_tables WHERE tablename LIKE 'runtime_uni%'") == []


def test_old_rows_count_as_registered_by_packs(upgraded: Database) -> None:
    assert rows(upgraded, "SELECT DISTINCT auto_detected, detection_config, aliases FROM runtime") == [(False, {}, [])]
