"""The secret that signs tokens: from the configuration, else one that is made once and kept in the database."""

from __future__ import annotations

import secrets

from agent.db.pool import Connection, Database
from agent.db.queries import load_queries

_NAME = "jwt_secret"


def signing_secret(database: Database, configured: str | None) -> str:
    """Return the secret; replicas and workers of one database share it. Raises DatabaseError."""
    if configured:
        return configured
    with database.connection() as connection:
        return _kept(connection)


def _kept(connection: Connection) -> str:
    sql = load_queries("agent.access")
    connection.execute(sql["make_secret"].encode(), {"name": _NAME, "value": secrets.token_urlsafe(48)})
    row = connection.execute(sql["secret"].encode(), {"name": _NAME}).fetchone()
    assert row is not None, "it was made just now, by us or by another"
    return str(row[0])
