"""Migrations: applied once, in order, by one program at a time; never over another implementation's schema."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.db.migrations import apply_migrations, read_migrations, status
from agent.db.pool import Database
from agent.errors import MigrationError
from agent.paths import shipped
from agent.settings import DatabaseSettings

pytestmark = pytest.mark.postgres

QUEUE = "20990101000001_message_queue.sql"


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Database]:
    database = Database(DatabaseSettings(url=empty_database_url), application_name="attune-test")
    yield database
    database.close()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Three small migrations: two of Attune's tables, one of the broker's."""
    directory = tmp_path / "migrations"
    directory.mkdir()
    (directory / "20250101000001_first.sql").write_text("CREATE TABLE execution (id bigint);\n")
    (directory / "20250101000002_second.sql").write_text("ALTER TABLE execution ADD COLUMN ref text;\n")
    (directory / QUEUE).write_text("CREATE TABLE queue_example (id bigint);\n")
    return directory


def tables(database: Database) -> set[str]:
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        return {name for (name,) in rows}


def names(applied: object) -> list[str]:
    assert isinstance(applied, list)
    return [migration.name for migration in applied]


def test_all_files_are_applied_in_the_order_of_their_names(empty: Database, files: Path) -> None:
    assert names(apply_migrations(empty, files)) == sorted(path.name for path in files.iterdir())
    assert tables(empty) == {"attune.execution", "attune.queue_example", "attune.attune_migration"}
    assert status(empty, files).pending == ()


def test_a_second_run_changes_nothing(empty: Database, files: Path) -> None:
    apply_migrations(empty, files)
    assert apply_migrations(empty, files) == []


def test_only_what_is_new_is_applied(empty: Database, files: Path) -> None:
    apply_migrations(empty, files)
    (files / "20250101000003_third.sql").write_text("ALTER TABLE execution ADD COLUMN third text;\n")
    assert status(empty, files).pending == ("20250101000003_third.sql",)
    assert names(apply_migrations(empty, files)) == ["20250101000003_third.sql"]


def test_two_programs_at_once_apply_each_file_once(empty_database_url: str) -> None:
    databases = [
        Database(DatabaseSettings(url=empty_database_url), application_name=f"attune-test-{n}") for n in range(3)
    ]
    with ThreadPoolExecutor(len(databases)) as threads:
        results = list(
            threads.map(lambda database: names(apply_migrations(database, shipped("migrations"))), databases)
        )
    assert sorted(len(result) for result in results)[:2] == [0, 0]
    assert max(results, key=len) == [migration.name for migration in read_migrations(shipped("migrations"))]
    for database in databases:
        database.close()


def test_a_file_that_was_changed_after_it_was_applied_is_refused_by_name(empty: Database, files: Path) -> None:
    apply_migrations(empty, files)
    (files / "20250101000002_second.sql").write_text("ALTER TABLE execution ADD COLUMN other text;\n")
    (files / "20250101000003_third.sql").write_text("ALTER TABLE execution ADD COLUMN third text;\n")
    with pytest.raises(MigrationError, match=r"20250101000002_second\.sql was changed") as caught:
        apply_migrations(empty, files)
    assert caught.value.hint is not None
    with pytest.raises(MigrationError, match="second"):
        status(empty, files)


def test_a_database_of_a_newer_version_is_accepted_because_migrations_only_add(empty: Database, files: Path) -> None:
    apply_migrations(empty, files)
    (files / QUEUE).unlink()
    assert apply_migrations(empty, files) == []
    assert status(empty, files).pending == ()


def test_a_migration_from_before_the_newest_that_is_unknown_is_refused(empty: Database, files: Path) -> None:
    apply_migrations(empty, files)
    (files / "20250101000001_first.sql").unlink()
    with pytest.raises(MigrationError, match="20250101000001_first"):
        apply_migrations(empty, files)


def test_the_servers_tables_can_be_added_to_a_database_that_another_implementation_made(
    empty: Database, files: Path
) -> None:
    (files / "20260401000002_server.sql").write_text("CREATE TABLE server_example (id bigint);\n")
    (files / "20260401000003_indexes_server.sql").write_text(
        "-- Outside a transaction: why.\nCREATE INDEX CONCURRENTLY IF NOT EXISTS server_one ON execution (id);\n"
    )
    make_foreign(empty)
    before = tables(empty)
    assert len(apply_migrations(empty, files, only="server")) == 2
    assert tables(empty) == before | {"attune.server_example", "attune.attune_migration"}
    assert status(empty, files).origin == "reference"
    assert apply_migrations(empty, files, only="server") == []


def test_a_file_that_fails_is_named_with_its_line_and_leaves_nothing_behind(empty: Database, files: Path) -> None:
    (files / "20250101000003_third.sql").write_text(
        "CREATE TABLE half (id bigint);\nALTER TABLE nowhere ADD COLUMN x text;\n"
    )
    with pytest.raises(MigrationError, match=r"20250101000003_third\.sql failed: .*nowhere"):
        apply_migrations(empty, files)
    assert "attune.half" not in tables(empty)
    (files / "20250101000003_third.sql").write_text("CREATE TABLE half (id bigint);\nSELECT nothing;\n")
    with pytest.raises(MigrationError, match=r"at line 2: .*nothing"):
        apply_migrations(empty, files)
    assert status(empty, files).pending == ("20250101000003_third.sql", QUEUE)


def test_the_schema_of_the_settings_is_used_and_created(empty_database_url: str, files: Path) -> None:
    settings = DatabaseSettings(url=empty_database_url, schema="elsewhere")
    database = Database(settings, application_name="attune-test")
    apply_migrations(database, files)
    assert tables(database) == {"elsewhere.execution", "elsewhere.queue_example", "elsewhere.attune_migration"}
    database.close()


def test_status_changes_nothing(empty: Database, files: Path) -> None:
    found = status(empty, files)
    assert (found.origin, found.applied, len(found.pending)) == ("empty", (), 3)
    assert tables(empty) == set()


def test_a_database_that_another_implementation_made_stays_as_it_is(empty: Database, files: Path) -> None:
    make_foreign(empty)
    before = tables(empty)
    assert apply_migrations(empty, files) == []
    assert status(empty, files).origin == "reference"
    assert tables(empty) == before


def test_the_brokers_tables_can_be_added_to_a_database_that_another_implementation_made(
    empty: Database, files: Path
) -> None:
    make_foreign(empty)
    before = tables(empty)
    assert names(apply_migrations(empty, files, queue_only=True)) == [QUEUE]
    assert tables(empty) == before | {"attune.queue_example", "attune.attune_migration"}
    assert status(empty, files).origin == "reference"
    assert apply_migrations(empty, files) == []
    assert apply_migrations(empty, files, queue_only=True) == []


def test_the_brokers_tables_alone_can_be_put_into_an_empty_database_and_the_rest_later(
    empty: Database, files: Path
) -> None:
    assert names(apply_migrations(empty, files, queue_only=True)) == [QUEUE]
    assert status(empty, files).origin == "empty"
    assert len(apply_migrations(empty, files)) == 2
    assert status(empty, files).origin == "ours"


def test_the_wheel_and_the_source_tree_ship_the_migrations(tmp_path: Path) -> None:
    found = [migration.name for migration in read_migrations(shipped("migrations"))]
    assert "20250101000012_agent_runtime_detection.sql" in found
    assert "20260203000001_unify_runtimes.sql" in found
    copy = shutil.copytree(shipped("migrations"), tmp_path / "copy")
    assert [migration.checksum for migration in read_migrations(copy)] == [
        migration.checksum for migration in read_migrations(shipped("migrations"))
    ]


def make_foreign(database: Database) -> None:
    """Make some of the tables that the migrations of the reference leave behind."""
    with database.connection() as connection:
        connection.execute("CREATE SCHEMA attune")
        connection.execute("CREATE TABLE attune._sqlx_migrations (version bigint PRIMARY KEY)")
        connection.execute("CREATE TABLE attune.runtime (id bigint PRIMARY KEY)")
        connection.execute("CREATE TABLE attune.execution (id bigint PRIMARY KEY)")
