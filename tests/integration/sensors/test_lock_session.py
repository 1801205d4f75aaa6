"""The session that holds the locks of sensors: one owner each, no schema in another's way, nothing told is missed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest

from agent.db.pool import Database
from agent.sensors.lock_session import CHANNEL, LockSession
from agent.settings import DatabaseSettings
from tests.services.postgres import fresh_database
from tests.services.waiting import until

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    with fresh_database(postgres_url, "locks") as made:
        with psycopg.connect(made, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA attune")
            connection.execute("CREATE SCHEMA other")
        yield made


@pytest.fixture
def sessions(url: str) -> Iterator[list[LockSession]]:
    databases = [
        Database(DatabaseSettings(url=url, schema=schema), application_name="tests")
        for schema in ("attune", "attune", "other")
    ]
    made = [LockSession(database) for database in databases]
    for session in made:
        session.restore()
    yield made
    for session in made:
        session.close()


def test_one_session_has_a_sensor_and_one_of_another_schema_has_its_own(sessions: list[LockSession]) -> None:
    first, second, other = sessions
    assert first.take(1)
    assert first.take(1)
    assert not second.take(1)
    assert other.take(1)
    assert second.free([1, 2]) == {2}
    first.release(1)
    assert second.take(1)


def test_locks_are_taken_back_by_a_new_session_and_lost_to_who_was_faster(
    sessions: list[LockSession], url: str
) -> None:
    first, second, _ = sessions
    assert first.take(3)
    assert first.take(4)
    first.close()
    until(lambda: second.take(4), "the server having noticed")
    assert first.restore() == {4}
    assert first.held == {3}


def test_a_session_that_broke_unnoticed_is_ended_by_the_next_one(sessions: list[LockSession]) -> None:
    first = sessions[0]
    assert first.take(5)
    broken, first._connection = first._connection, None
    assert first.restore() == set()
    assert broken is not None
    with pytest.raises(psycopg.OperationalError):
        broken.execute("SELECT 1")
    broken.close()


def test_what_is_told_while_a_statement_runs_is_heard(sessions: list[LockSession], url: str) -> None:
    wake = os.eventfd(0)
    try:
        first = sessions[0]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT pg_notify(%s, '')", [CHANNEL])
        first.free([1])  # its answer brings the notification with it
        assert first.wait(10.0, wake)
        assert not first.wait(0.0, wake)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT pg_notify(%s, '')", [CHANNEL])
        assert first.wait(10.0, wake)
    finally:
        os.close(wake)
