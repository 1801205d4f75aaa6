"""Which of psycopg's errors mean that the database is away."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from agent.db.error_translation import is_away, reason, translated
from agent.errors import DatabaseError, DatabaseUnavailable


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("connection refused"),
        psycopg.InterfaceError("the connection is closed"),
        errors.AdminShutdown("shutting down"),
        errors.CannotConnectNow("starting up"),
        errors.TooManyConnections("no more"),
        errors.ReadOnlySqlTransaction("a standby now"),
    ],
)
def test_what_may_work_again_when_the_server_is_back_is_unavailability(error: psycopg.Error) -> None:
    assert is_away(error)
    with pytest.raises(DatabaseUnavailable, match="db:5432/attune"), translated("db:5432/attune"):
        raise error


@pytest.mark.parametrize(
    "error", [errors.UniqueViolation("twice"), errors.UndefinedTable("none"), errors.DeadlockDetected("both waited")]
)
def test_a_refused_statement_is_not_unavailability(error: psycopg.Error) -> None:
    with pytest.raises(DatabaseError, match="db:5432/attune") as caught, translated("db:5432/attune"):
        raise error
    assert not isinstance(caught.value, DatabaseUnavailable)
    assert caught.value.__cause__ is error


def test_the_reason_is_one_line() -> None:
    error = psycopg.OperationalError("connection failed: Connection refused\n\tIs the server running on that host?\n")
    assert reason(error) == "connection failed: Connection refused"
