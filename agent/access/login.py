"""Log in, stay logged in, log out: password or integration token in, a pair of tokens out.

Each refresh replaces the token that it used. Whoever shows a replaced one is let in for another half minute, because
two tabs may refresh at once; later somebody has stolen it, and everything that came from that log-in ends.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from agent.access.identities import Identity, find_identity
from agent.access.passwords import matches
from agent.access.throttle import Kind, wait_after
from agent.access.tokens import Claims, check, hashed, mint
from agent.db.clock import DatabaseClock
from agent.db.named_statements import Statements
from agent.db.pool import Connection, Database
from agent.db.queries import load_queries
from agent.errors import AccessDenied, AgentError

_GRACE = 30.0


class _Failures(NamedTuple):
    kind: Kind
    failures: int
    seconds: float


class SlowDown(AgentError):
    """Too many log-ins failed."""

    def __init__(self, seconds: float) -> None:
        """``seconds`` until the next one is looked at."""
        super().__init__("too many failed log-ins; wait before the next one")
        self.seconds = seconds


class Frozen(AgentError):
    """This account is frozen."""


@dataclass(frozen=True)
class Session:
    """What a log-in gives; ``identity`` is None where the tokens were only renewed."""

    access_token: str
    refresh_token: str
    expires_in: int
    identity: Identity | None


class Logins:
    """Log-ins of one deployment."""

    def __init__(
        self, database: Database, secret: str, clock: DatabaseClock, *, access_seconds: int, refresh_seconds: int
    ) -> None:
        """``secret`` signs; the lives of tokens are in seconds, by a clock that all servers share."""
        self._database = database
        self._clock = clock
        self._secret = secret
        self._access = access_seconds
        self._refresh = refresh_seconds
        self._sql = {name: text.encode() for name, text in load_queries("agent.access").items()}

    def with_password(self, login: str, password: str, *, address: str) -> Session:
        """Log in.

        Raises:
            AccessDenied: the login or the password is wrong; which, is not said.
            Frozen: the account is frozen.
            SlowDown: too many failed before.
        """
        subject = {"account": login.lower()[:255], "address": address}
        with self._database.connection() as connection:
            self._slow_down(connection, subject)
            identity = find_identity(connection, login=login)
        # No connection is held while the password is hashed.
        right = matches(password, identity.password_hash if identity else None)
        with self._database.connection() as connection:
            if not right or identity is None:
                connection.execute(self._sql["note_failure"], subject)
            else:
                connection.execute(self._sql["forget_failures"], subject)
                if identity.frozen:
                    raise Frozen
                return self._session(connection, identity)
        raise AccessDenied("Invalid login or password")

    def with_integration_token(self, token: str, *, address: str) -> Session:
        """Log in with a token that was made for a program. Raises AccessDenied."""
        with self._database.connection() as connection:
            with connection.cursor(row_factory=dict_row) as cursor:
                row = cursor.execute(self._sql["find_integration_token"], {"hash": hashed(token)}).fetchone()
            if row is None or row["useless"] or row["frozen"]:
                raise AccessDenied("Invalid or expired integration token")
            connection.execute(self._sql["use_integration_token"], {"id": row["id"], "address": address})
            identity = find_identity(connection, id=row["identity"])
            assert identity is not None, "the token's row refers to it"
            return self._session(connection, identity, integration_token=row["id"])

    def refresh(self, token: str) -> Session:
        """Exchange a refresh token for a new pair.

        Raises:
            AccessDenied: it is unknown, too old, or was used before.
            Frozen: the account is frozen.
        """
        claims = check(token, secret=self._secret, now=self._clock.now())
        if claims.kind != "refresh":
            raise AccessDenied("Invalid refresh token")
        stolen = False
        with self._database.connection() as connection:
            with connection.cursor(row_factory=dict_row) as cursor:
                row = cursor.execute(self._sql["find_refresh_token"], {"hash": hashed(token)}).fetchone()
            if row is None or row["expired"] or row["revoked"]:
                raise AccessDenied("Invalid refresh token")
            if row["frozen"]:
                raise Frozen
            stolen = row["replaced_for"] is not None and row["replaced_for"] > _GRACE
            if stolen:
                connection.execute(self._sql["revoke_family"], {"family": row["family"]})
            else:
                connection.execute(self._sql["replace_refresh_token"], {"hash": hashed(token)})
                identity = find_identity(connection, id=row["identity"])
                assert identity is not None, "the token's row refers to it"
                return self._session(
                    connection, identity, family=row["family"], integration_token=row["integration_token"], renewed=True
                )
        raise AccessDenied("This refresh token was used before: log in again")

    def start(self, connection: Connection, identity: Identity) -> Session:
        """Log an account in that was made just now."""
        return self._session(connection, identity)

    def log_out(self, token: str) -> None:
        """End everything that came from the same log-in; an unknown token ends nothing."""
        with self._database.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            row = cursor.execute(self._sql["find_refresh_token"], {"hash": hashed(token)}).fetchone()
            if row is not None:
                connection.execute(self._sql["revoke_family"], {"family": row["family"]})

    def _slow_down(self, connection: Connection, subject: dict[str, str]) -> None:
        rows = Statements("agent.access").all(connection, _Failures, "login_failures", subject)
        wait = max((wait_after(row.kind, row.failures, row.seconds) for row in rows), default=0.0)
        if wait > 0:
            raise SlowDown(wait)

    def _session(
        self,
        connection: Connection,
        identity: Identity,
        *,
        family: Any = None,
        integration_token: int | None = None,
        renewed: bool = False,
    ) -> Session:
        now = self._clock.now()
        access = Claims(str(identity.id), identity.login, "access", now + self._access)
        refresh = Claims(str(identity.id), identity.login, "refresh", now + self._refresh)
        if integration_token is not None:
            metadata = {
                "identity_id": identity.id,
                "integration_token_id": integration_token,
                "auth_method": "integration_token",
            }
            refresh = Claims(
                str(integration_token), identity.login, "refresh", refresh.expires, "integration_token", metadata
            )
        tokens = [mint(claims, secret=self._secret, now=now) for claims in (access, refresh)]
        values = {
            "hash": hashed(tokens[1]),
            "family": family or uuid.uuid4(),
            "identity": identity.id,
            "integration_token": integration_token,
            "expires": refresh.expires,
        }
        connection.execute(self._sql["add_refresh_token"], values)
        return Session(tokens[0], tokens[1], self._access, None if renewed else identity)
