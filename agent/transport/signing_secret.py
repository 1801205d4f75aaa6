"""The secret that signs tokens, where the configuration has none: the one that a server keeps."""

from __future__ import annotations

from agent.db.pool import Database
from agent.db.queries import load_queries
from agent.errors import DatabaseError
from agent.logs import add_secret


class SigningSecret:
    """Asked for when somebody wants a token; a server may come later than this worker."""

    def __init__(self, database: Database, configured: str | None) -> None:
        """``configured`` counts where it is set."""
        self._database = database
        self._found = configured

    def __call__(self) -> str | None:
        """Return the secret, None where there is none: then no token is handed out."""
        if self._found is None:
            self._found = self._kept()
            add_secret(self._found)
        return self._found

    def _kept(self) -> str | None:
        queries = load_queries("agent.transport")
        try:
            with self._database.connection() as connection:
                if connection.execute(queries["has_kept_secret"].encode()).fetchone() != (True,):
                    return None
                row = connection.execute(queries["kept_secret"].encode()).fetchone()
        except DatabaseError:
            return None
        return None if row is None else str(row[0])
