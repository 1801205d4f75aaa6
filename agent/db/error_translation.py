"""Turn psycopg's errors into ours: unreachable or refused, with the server named and no secret told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from agent.errors import DatabaseError, DatabaseUnavailable

# SQLSTATE (PostgreSQL manual, appendix A): connection exceptions, too many connections, a server that stops or
# starts or became a read-only standby. The same statement may succeed once the server is back.
_AWAY = ("08", "53300", "57P01", "57P02", "57P03", "57P05", "25006")
#: A statement was prepared before a migration changed a type, or is prepared no longer: only a new session helps.
OUTDATED = ("0A000", "26000")
#: A table is missing: the schema was never made, or is older than this program.
_NO_TABLE = "42P01"
# A conflict with another transaction, a full disk or memory, a lock or an operator that ended a statement: none of it
# is the statement's fault.
_PASSING = ("40", "53", "55P03", "57014", *OUTDATED)


@contextmanager
def translated(label: str) -> Iterator[None]:
    """Raise our errors instead of psycopg's inside the block; ``label`` says which database.

    Raises:
        DatabaseUnavailable: the connection could not be made, was lost, or the server is going away.
        DatabaseError: the server refused a statement; ``__cause__`` is psycopg's error with all details.
    """
    try:
        yield
    except psycopg.Error as error:
        if is_away(error):
            raise DatabaseUnavailable(f"the connection to PostgreSQL at {label} failed: {reason(error)}") from error
        raise DatabaseError(
            f"PostgreSQL at {label} refused a statement: {reason(error)}",
            hint="run: attune db migrate" if error.sqlstate == _NO_TABLE else None,
        ) from error


def is_away(error: psycopg.Error) -> bool:
    """Return whether ``error`` is about reaching the server rather than about a statement."""
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_AWAY)
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def may_pass(error: DatabaseError) -> bool:
    """Return whether the very same statement may succeed later."""
    cause = error.__cause__
    state = cause.sqlstate if isinstance(cause, psycopg.Error) else None
    return isinstance(error, DatabaseUnavailable) or (state is not None and state.startswith(_PASSING))


def reason(error: psycopg.Error) -> str:
    """Return one line that says what happened, without the row values that a server's details quote."""
    if error.diag.message_primary:
        return f"{error.diag.message_primary} ({error.sqlstate})"
    lines = (line.strip() for line in str(error).splitlines())
    told = "; ".join(line for line in lines if line and not line.startswith("Is the server running"))
    return told or type(error).__name__
