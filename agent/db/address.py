"""Where the database is: the URL of the settings as libpq parameters, and a name for messages."""

from __future__ import annotations

import math
import os.path
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from agent.authorities import AUTHORITIES
from agent.errors import ConfigurationError
from agent.settings import DatabaseSettings

# A peer that vanished without a word is noticed within a minute, not after the kernel's own 15.
_KEEPALIVE: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 40_000,
}
# The other services of a deployment share this URL and spell some options differently from libpq.
_FOREIGN_SPELLINGS = {
    "ssl-mode": "sslmode",
    "ssl-root-cert": "sslrootcert",
    "ssl-ca": "sslrootcert",
    "ssl-cert": "sslcert",
    "ssl-key": "sslkey",
}


@dataclass(frozen=True)
class Address:
    """One database: what libpq needs to open it, the schema to work in, and its name without any secret."""

    parameters: dict[str, Any]
    search_path: str
    schema: str
    label: str

    def __repr__(self) -> str:
        """Leave the parameters out: they hold the password."""
        return f"Address({self.label}, schema {self.schema})"


def address_of(settings: DatabaseSettings, *, application_name: str) -> Address:
    """Read the URL and the schema of ``settings``.

    Raises:
        ConfigurationError: the URL or the schema's name is malformed.
    """
    schema = schema_name(settings.schema)
    given = _parse(settings.url)
    # libpq asks the password database for a default name and fails where this UID has no entry there.
    given.setdefault("user", _default("user") or "postgres")
    parameters = {
        **_KEEPALIVE,
        "connect_timeout": max(2, math.ceil(settings.connect_timeout)),
        **_authorities(given),
        **given,
        "client_encoding": "UTF8",
        "application_name": application_name,
    }
    # A schema of a test must not see what another one left in public.
    path = schema if schema.startswith("test_") else f"{schema}, public"
    return Address(parameters, path, schema, _label(given))


def schema_name(name: str) -> str:
    """Return ``name`` folded to lower case, as PostgreSQL folds it.

    Raises:
        ConfigurationError: it is not made of 1 to 63 letters, digits and underscores.
    """
    if not re.fullmatch(r"[A-Za-z0-9_]{1,63}", name):
        raise ConfigurationError(f"database.schema {name!r} must be made of 1 to 63 letters, digits and underscores")
    return name.lower()


def _parse(url: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(_understood(url)))
    except (psycopg.ProgrammingError, ValueError):
        # libpq quotes the whole URL, password included, in some of its complaints: don't keep them.
        raise ConfigurationError(
            "database.url is not a valid PostgreSQL URL",
            hint="write postgresql://user:password@host:5432/database, special characters percent-encoded",
        ) from None


def _understood(url: str) -> str:
    """Translate the spellings of other drivers and leave out the options that only they have."""
    scheme, separator, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres"):
        return url
    # As libpq reads it: a password may hold a bare question mark, which then begins no options.
    credentials, at, place = rest.partition("@")
    if not at or "/" in credentials:
        credentials, at, place = "", "", rest
    target, _, query = place.partition("?")
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()} | {"ssl"}
    options = []
    for key, _, value in (option.partition("=") for option in query.split("&")):
        name = _FOREIGN_SPELLINGS.get(key, key)
        if name in known:
            options.append(f"{name}={value}")
    return f"{scheme}{separator}{credentials}{at}{target}?{'&'.join(options)}"


def _authorities(given: dict[str, Any]) -> dict[str, str]:
    """Trust the machine's authorities where a certificate must be verified and nobody says by which.

    libpq would ask for ``~/.postgresql/root.crt``, which only a person has.
    """
    mode = given.get("sslmode") or _default("sslmode") or ""
    named = given.get("sslrootcert") or _default("sslrootcert")
    # Not Path.expanduser: that one raises where the UID has no home.
    if not mode.startswith("verify-") or named or Path(os.path.expanduser("~/.postgresql/root.crt")).is_file():
        return {}
    found = next((path for path in AUTHORITIES if Path(path).is_file()), None)
    if found is not None:
        return {"sslrootcert": found}
    # OpenSSL's own default, which SSL_CERT_FILE names; libpq takes it for host names that are verified, too, only.
    return {"sslrootcert": "system"} if mode == "verify-full" else {}


def _default(keyword: str) -> str | None:
    """Return libpq's default for ``keyword``, which may come from its PG* environment variables."""
    for option in pq.Conninfo.get_defaults():
        if option.keyword == keyword.encode() and option.val:
            return option.val.decode()
    return None


def _label(given: dict[str, Any]) -> str:
    host = given.get("host") or given.get("hostaddr") or _default("host") or "the local socket"
    port = given.get("port") or _default("port") or 5432
    name = given.get("dbname") or _default("dbname") or given["user"]
    return f"{host}:{port}/{name}"
