"""TLS to a real server: the URL's sslmode and sslrootcert do what they say; and a UID without a name can connect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.db.pool import Database
from agent.errors import DatabaseUnavailable
from agent.settings import DatabaseSettings
from tests.services.postgres_tls import PASSWORD, TlsServer, tls_server
from tests.services.users import as_user

__all__ = ["tls_server"]
pytestmark = pytest.mark.postgres

UNNAMED_UID = 54321
CONNECT = """
import sys
from agent.db import address
from agent.db.pool import Database
from agent.settings import DatabaseSettings
address.AUTHORITIES = (sys.argv[2],)
database = Database(DatabaseSettings(url=sys.argv[1]), application_name="attune-test")
with database.connection() as connection:
    print(*connection.execute("SELECT current_user").fetchone())
database.close()
"""


def uses_tls(url: str) -> bool:
    database = Database(DatabaseSettings(url=url, connect_timeout=10), application_name="attune-test")
    try:
        with database.connection() as connection:
            row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    finally:
        database.close()
    return row == (True,)


def test_verify_full_accepts_the_server_that_the_authority_vouches_for(tls_server: TlsServer) -> None:
    assert uses_tls(tls_server.url(f"sslmode=verify-full&sslrootcert={tls_server.authority}"))


def test_the_spelling_of_the_other_services_works_too(tls_server: TlsServer) -> None:
    assert uses_tls(tls_server.url(f"ssl-mode=verify-full&ssl-root-cert={tls_server.authority}"))


def test_verify_full_trusts_the_machines_authorities_when_none_is_named(
    tls_server: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.db.address.AUTHORITIES", ("/absent/authority.pem", str(tls_server.authority)))
    assert uses_tls(tls_server.url("sslmode=verify-full"))
    monkeypatch.setattr("agent.db.address.AUTHORITIES", (str(tls_server.stranger),))
    with pytest.raises(DatabaseUnavailable, match="certificate verify failed"):
        uses_tls(tls_server.url("sslmode=verify-full"))


def test_verify_full_refuses_a_server_that_a_stranger_vouches_for(tls_server: TlsServer) -> None:
    with pytest.raises(DatabaseUnavailable, match="certificate verify failed"):
        uses_tls(tls_server.url(f"sslmode=verify-full&sslrootcert={tls_server.stranger}"))


def test_verify_full_refuses_a_server_under_another_name_and_verify_ca_does_not(tls_server: TlsServer) -> None:
    options = f"sslrootcert={tls_server.authority}"
    with pytest.raises(DatabaseUnavailable, match="does not match host name"):
        uses_tls(tls_server.url(f"sslmode=verify-full&{options}", host="127.0.0.1"))
    assert uses_tls(tls_server.url(f"sslmode=verify-ca&{options}", host="127.0.0.1"))


def test_a_server_that_insists_on_tls_refuses_a_plain_connection(tls_server: TlsServer) -> None:
    with pytest.raises(DatabaseUnavailable, match="no encryption"):
        uses_tls(tls_server.url("sslmode=disable"))


def test_a_wrong_password_is_unavailability_and_is_not_repeated(tls_server: TlsServer) -> None:
    with pytest.raises(DatabaseUnavailable, match="password authentication failed") as caught:
        uses_tls(tls_server.url("sslmode=require", user="postgres:guessed@"))
    assert "guessed" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take a UID that has no name")
def test_a_uid_without_a_name_or_a_home_connects_as_postgres(tls_server: TlsServer) -> None:
    url = tls_server.url("sslmode=verify-full", user="")
    done = subprocess.run(
        as_user(UNNAMED_UID, [sys.executable, "-c", CONNECT, url, str(tls_server.authority)]),
        env={"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("postgres\n", "")
