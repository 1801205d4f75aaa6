"""Rows are read by the names of their columns: a statement and its class that differ are noticed at once."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from agent.db.named_statements import Statements
from agent.db.pool import Database
from agent.db.prepared import PreparedStatement
from agent.execution.recording.statements import RecordingStatements


class Worker(NamedTuple):
    """Two of the columns that ``find_worker`` has."""

    id: int
    role: str


@pytest.mark.parametrize("columns", [("b", "a"), ("a",), ("a", "b", "c")])
def test_a_prepared_statement_with_other_columns_is_refused(database: Database, columns: tuple[str, ...]) -> None:
    with database.connection() as connection, pytest.raises(TypeError, match="returns a, b"):
        PreparedStatement(connection, "two", "SELECT 1 AS a, 2 AS b", (), columns=columns)


def test_a_prepared_statement_returns_rows_in_the_order_of_its_columns(database: Database) -> None:
    with database.connection() as connection:
        statement = PreparedStatement(connection, "two", "SELECT $1 AS a, 2 AS b", ("bigint",), columns=("a", "b"))
        assert statement.run(["1"]) == [(1, 2)]


def test_the_statements_that_claim_and_finish_have_the_columns_that_are_read(database: Database) -> None:
    with database.connection() as connection:
        RecordingStatements(connection, 1)


def test_a_class_that_names_other_columns_than_its_statement_is_refused(database: Database) -> None:
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO worker (name, worker_type, worker_role, status) VALUES ('w', 'local', 'action', 'active')"
        )
        with pytest.raises(TypeError):
            Statements("agent.presence").one(connection, Worker, "find_worker", {"name": "w"})
