"""Refuse a pooler that lends one session of the server to many clients: locks and settings need one of their own."""

from __future__ import annotations

import psycopg

from agent.db.error_translation import translated
from agent.db.pool import Connection, Database
from agent.errors import ConfigurationError

_HINT = (
    "let the pooler pool sessions (pgbouncer: pool_mode = session), or set database.url (ATTUNE__DATABASE__URL) to"
    " PostgreSQL's own address"
)


def refuse_shared_sessions(database: Database) -> None:
    """Check that each connection has a session of the server to itself.

    Raises:
        ConfigurationError: it has not; the hint says what to do.
        DatabaseUnavailable: the server can't be reached.
    """
    # Nothing is set in these sessions: others would get it.
    with translated(database.address.label), psycopg.connect(**database.address.parameters, autocommit=True) as first:
        session = _session(first)
        with psycopg.connect(**database.address.parameters, autocommit=True) as second:
            try:
                # What the first one is not using just now is given to the second one, if sessions are shared.
                with second.transaction():
                    shared = _session(second) == session or _session(first) != session
            except psycopg.errors.ProtocolViolation:  # not even a transaction has one to itself
                shared = True
    if shared:
        raise ConfigurationError(
            f"the pooler at {database.address.label} gives each transaction another session of PostgreSQL", hint=_HINT
        )


def _session(connection: Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])
