"""Connections to a real PostgreSQL: transactions, sharing, losing and regaining the server."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from agent.db.pool import Database
from agent.errors import DatabaseError, DatabaseUnavailable
from agent.settings import DatabaseSettings
from tests.faults.servers import PostgresNode, missing
from tests.services.availability import unavailable
from tests.services.postgres import database_name
from tests.services.proxy import database_proxy
from tests.services.waiting import not_for_ever, until

pytestmark = pytest.mark.postgres


@pytest.fixture
def settings(empty_database_url: str) -> DatabaseSettings:
    return DatabaseSettings(url=empty_database_url, max_connections=4, min_connections=0, connect_timeout=5)


@pytest.fixture
def opened(settings: DatabaseSettings) -> Iterator[Database]:
    database = Database(settings, application_name="attune-test")
    with database.connection() as connection:
        connection.execute("CREATE TABLE public.note (text text PRIMARY KEY)")
    yield database
    database.close()


def notes(database: Database) -> list[str]:
    with database.connection() as connection:
        return [text for (text,) in connection.execute("SELECT text FROM note ORDER BY text")]


def test_what_is_flushed_together_is_whole_or_not_at_all(opened: Database) -> None:
    with opened.flushed_together() as connection:
        connection.execute("INSERT INTO note VALUES ('kept')")

    def leave(*texts: str, error: Exception | None = None) -> None:
        with opened.flushed_together() as connection:
            for text in texts:
                connection.execute("INSERT INTO note VALUES (%s)", [text])
            if error is not None:
                raise error

    with pytest.raises(ZeroDivisionError):
        leave("undone", error=ZeroDivisionError())
    with pytest.raises(DatabaseError):
        leave("undone, too", "kept")
    assert notes(opened) == ["kept"]


def test_it_is_on_the_disk_when_the_block_ends(opened: Database) -> None:
    position = "SELECT pg_current_wal_insert_lsn()"
    with opened.reading() as connection:  # whatever is usual on the server of these tests
        connection.execute("SET synchronous_commit = on")
    for number in range(5):
        with opened.flushed_together() as connection:
            connection.execute("INSERT INTO note VALUES (%s)", [str(number)])
            row = connection.execute(position.encode()).fetchone()
        assert row is not None
        with opened.reading() as connection:
            flushed = connection.execute("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", row).fetchone()
        assert flushed == (True,)


def test_a_role_that_may_write_no_mark_waits_for_the_disk_itself(opened: Database) -> None:
    with opened.connection() as connection:
        known = "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'pg_logical_emit_message'"
        for (function,) in connection.execute(known.encode()).fetchall():
            connection.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM public".encode())
        name = "attune_test_markless"
        connection.execute(f"CREATE ROLE {name}".encode())
        connection.execute(f"GRANT ALL ON note TO {name}".encode())
    try:
        with opened.reading() as connection:
            connection.execute(f"SET ROLE {name}".encode())  # stays with the connection, which is the only idle one
        with opened.flushed_together() as connection:
            connection.execute("INSERT INTO note VALUES ('kept')")
        with opened.reading() as connection:
            connection.execute("RESET ROLE")
    finally:
        with opened.connection() as connection:
            connection.execute(f"DROP OWNED BY {name}".encode())
            connection.execute(f"DROP ROLE {name}".encode())
    assert notes(opened) == ["kept"]


def test_what_only_reads_needs_neither_beginning_nor_end(opened: Database) -> None:
    with opened.reading() as connection:
        connection.execute("SELECT text FROM note")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    with opened.connection() as connection:
        connection.execute("SELECT text FROM note")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS


def own_sessions(database: Database) -> int:
    with database.connection() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'attune-test'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def terminate_all(url: str) -> None:
    """Do to our sessions what a restart of the server does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'attune-test'"
        )


def test_nothing_is_connected_before_it_is_needed() -> None:
    Database(DatabaseSettings(url="postgresql://nobody@127.0.0.1:1/none"), application_name="attune-test").close()


def test_a_block_that_ends_is_committed(opened: Database) -> None:
    with opened.connection() as connection:
        connection.execute("INSERT INTO note VALUES ('kept')")
    assert notes(opened) == ["kept"]


def test_a_block_that_raises_is_rolled_back_and_its_error_passes(opened: Database) -> None:
    def insert_and_fail() -> None:
        with opened.connection() as connection:
            connection.execute("INSERT INTO note VALUES ('lost')")
            raise KeyError("lost")

    with pytest.raises(KeyError):
        insert_and_fail()
    assert notes(opened) == []


def test_a_refused_statement_is_our_error_with_the_drivers_as_cause(opened: Database) -> None:
    with pytest.raises(DatabaseError) as caught, opened.connection() as connection:
        connection.execute("INSERT INTO note VALUES ('same'), ('same')")
    assert isinstance(caught.value.__cause__, psycopg.errors.UniqueViolation)
    assert not isinstance(caught.value, DatabaseUnavailable)
    assert notes(opened) == []


def test_connections_are_reused(opened: Database) -> None:
    for _ in range(5):
        notes(opened)
    assert own_sessions(opened) == 1


def test_threads_share_the_pool_within_its_limit(opened: Database) -> None:
    arrived = threading.Barrier(4)

    def use(_: int) -> int:
        with opened.connection() as connection:
            arrived.wait(timeout=10)
            return connection.info.backend_pid

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(use, range(4)))) == 4


def test_who_finds_every_connection_busy_waits_for_one_and_is_told_when_none_comes_free(
    settings: DatabaseSettings,
) -> None:
    database = Database(
        dataclasses.replace(settings, max_connections=1, connect_timeout=0.05), application_name="attune-test"
    )
    with (
        database.connection(),
        pytest.raises(DatabaseUnavailable, match=r"all 1 connections .* are busy"),
        database.connection(),
    ):
        pass
    with database.connection() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    database.close()


def test_idle_connections_beyond_the_minimum_are_closed(settings: DatabaseSettings) -> None:
    database = Database(dataclasses.replace(settings, idle_timeout=0.0), application_name="attune-test")
    with database.connection(), database.connection(), database.connection():
        pass
    assert own_sessions(database) == 1
    database.close()


def test_a_closed_database_leaves_no_session_behind(settings: DatabaseSettings) -> None:
    database = Database(settings, application_name="attune-test")
    with database.connection() as connection:
        connection.execute("SELECT 1")
    database.close()
    with psycopg.connect(settings.url) as watcher:
        watcher.autocommit = True
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'attune-test'"
        until(lambda: watcher.execute(count).fetchone() == (0,))


def test_a_server_that_restarted_in_the_meantime_is_not_noticed(opened: Database, settings: DatabaseSettings) -> None:
    notes(opened)
    terminate_all(settings.url)
    assert notes(opened) == []


def test_a_connection_lost_in_use_is_unavailability_and_the_next_use_works(
    opened: Database, settings: DatabaseSettings
) -> None:
    def use_it_across_a_restart() -> None:
        with opened.connection() as connection:
            connection.execute("SELECT 1")
            terminate_all(settings.url)
            connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        use_it_across_a_restart()
    assert notes(opened) == []


def test_a_server_that_became_a_standby_is_left_with_every_connection(opened: Database) -> None:
    with opened.connection() as first, opened.connection() as second:
        before = {first.info.backend_pid, second.info.backend_pid}

    def write() -> None:
        with opened.connection() as connection:
            connection.execute("SET TRANSACTION READ ONLY")  # what a standby says without being asked
            connection.execute("INSERT INTO note VALUES ('lost')")

    with pytest.raises(DatabaseUnavailable, match="read-only"):
        write()
    with opened.connection() as first, opened.connection() as second:
        assert not before & {first.info.backend_pid, second.info.backend_pid}


def test_an_unreachable_server_is_reported_at_once_by_name_and_without_the_password() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        url = f"postgresql://me:secret@127.0.0.1:{port}/attune"
        database = Database(DatabaseSettings(url=url, connect_timeout=600), application_name="attune-test")
        with not_for_ever(), pytest.raises(DatabaseUnavailable) as caught, database.connection():
            pass
    assert caught.value.exit_code == 3
    assert f"127.0.0.1:{port}/attune" in str(caught.value)
    assert "refused" in str(caught.value)
    assert "secret" not in str(caught.value) + repr(caught.value.__cause__)


def test_a_database_that_does_not_exist_is_unavailability(settings: DatabaseSettings) -> None:
    url = settings.url.replace("attune_test_empty", "no_such")
    database = Database(dataclasses.replace(settings, url=url), application_name="attune-test")
    with pytest.raises(DatabaseUnavailable, match="does not exist"), database.connection():
        pass


@pytest.mark.parametrize(("schema", "path"), [("attune", "attune, public"), ("test_mine", "test_mine")])
def test_every_connection_searches_the_schema(settings: DatabaseSettings, schema: str, path: str) -> None:
    database = Database(dataclasses.replace(settings, schema=schema), application_name="attune-test")
    dedicated = database.connect(autocommit=True)
    with database.connection() as pooled:
        for connection in (pooled, dedicated):
            shown = connection.execute("SHOW search_path").fetchone()
            assert shown == (path,)
    dedicated.close()
    database.close()


def test_times_are_utc_whatever_the_server_prefers(settings: DatabaseSettings) -> None:
    database = Database(settings, application_name="attune-test")
    with database.connection() as connection:
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
    database.close()


def test_a_dedicated_connection_is_outside_the_pool(settings: DatabaseSettings) -> None:
    database = Database(dataclasses.replace(settings, max_connections=1), application_name="attune-test")
    with database.connect(autocommit=True) as dedicated, database.connection() as pooled:
        assert dedicated.info.backend_pid != pooled.info.backend_pid
    database.close()


def test_of_several_servers_the_one_is_taken_that_may_be_written_to(empty_database_url: str) -> None:
    if missing():
        unavailable("a second PostgreSQL", f"install the Debian packages {' and '.join(missing())}")
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # it runs as another user
        _take_the_primary(PostgresNode(Path(directory) / "standby"), empty_database_url)


def _take_the_primary(standby: PostgresNode, url: str) -> None:
    standby.start()
    try:
        name = database_name(url)
        with psycopg.connect(standby.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        standby.configure("default_transaction_read_only = on")
        with database_proxy(url) as (primary, _):
            hosts = f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}"
            for attributes, port in (("any", standby.port), ("read-write", primary.port)):
                both = f"postgresql://postgres@{hosts}/{name}?target_session_attrs={attributes}&sslmode=disable"
                database = Database(DatabaseSettings(url=both), application_name="attune-test")
                with database.connection() as connection:
                    assert connection.info.port == port
                database.close()
    finally:
        standby.stop("immediate")
