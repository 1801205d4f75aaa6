"""Names, authorities, database and broker: can they be reached, and may we do there what we must?"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from agent.db.named_statements import Statements
from agent.db.pool import Database
from agent.db.pooling import refuse_shared_sessions
from agent.doctor.finding import Finding, fail, fine, unknown, warn
from agent.errors import AgentError
from agent.mq.connect import open_broker
from agent.settings import Settings

#: Seconds that our clock may differ: heartbeats are judged by the database's clock, tokens by the API's.
_MAX_SKEW = 5.0


def check_network(settings: Settings) -> Iterator[Finding]:
    """Resolve, connect, ask."""
    for name, url in (("database", settings.database.url), ("message_queue", settings.message_queue.url or "")):
        yield from _resolve(name, url)
    yield _authorities()
    yield from _database(settings)
    yield _broker(settings)


def _resolve(name: str, url: str) -> Iterator[Finding]:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not host or host.startswith("/"):
        return
    check = f"dns {name}"
    try:
        addresses = {str(item[4][0]) for item in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "invalid host name"
        yield fail(check, f"{host}: {reason}", "check the name, /etc/hosts and /etc/resolv.conf")
        return
    yield fine(check, f"{host} is {', '.join(sorted(addresses))}")


def _authorities() -> Finding:
    paths = ssl.get_default_verify_paths()
    count = len(ssl.create_default_context().get_ca_certs())
    source = paths.cafile or paths.capath
    if source is None or (count == 0 and not paths.capath):
        remedy = "install ca-certificates, or set SSL_CERT_FILE"
        return warn("tls", "no certificate authorities: TLS connections can't be verified", remedy)
    return fine("tls", f"authorities come from {source}")


class _Server(NamedTuple):
    clock: datetime
    version: str
    encrypted: bool


class _MissingPermission(NamedTuple):
    permission: str


def _database(settings: Settings) -> Iterator[Finding]:
    try:
        database = Database(settings.database, application_name="attune-agent doctor")
        try:
            refuse_shared_sessions(database)
            with database.connection() as connection:
                sql = Statements("agent.doctor")
                before = time.time()
                server = sql.one(connection, _Server, "clock_and_server")
                assert server is not None
                yield fine(
                    "database", f"reached, PostgreSQL {server.version}, TLS {'on' if server.encrypted else 'off'}"
                )
                yield _clock(server.clock, (before + time.time()) / 2)
                missing = sql.all(connection, _MissingPermission, "missing_permissions")
                yield _permissions([row.permission for row in missing])
        finally:
            database.close()
    except AgentError as error:
        yield fail("database", str(error), error.hint or "check database.url")


def _clock(theirs: datetime, ours: float) -> Finding:
    skew = ours - theirs.timestamp()
    if abs(skew) > _MAX_SKEW:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return warn(
            "clock", f"{skew:+.1f} s from the database's; here it is {now}", "synchronise the host's clock (NTP)"
        )
    return fine("clock", f"{skew:+.2f} s from the database's")


def _permissions(missing: list[str]) -> Finding:
    if missing:
        remedy = "run `attune db migrate`, or grant this role what is missing"
        return fail("database permissions", f"missing: {', '.join(missing)}", remedy)
    return fine("database permissions", "the role has every permission that the agent needs")


def _broker(settings: Settings) -> Finding:
    try:
        # Declaring no queue still connects and declares the exchanges: that needs the permission to configure.
        open_broker(settings, name="attune-agent doctor").declare([])
    except AgentError as error:
        return fail("broker", str(error), error.hint or "check message_queue.url")
    return fine("broker", "reached, exchanges can be declared")


def check_grace(settings: Settings, environ: dict[str, str] | os._Environ[str]) -> Finding:
    """Compare the time until SIGKILL, which only the deployment knows, with the time that draining may take."""
    drain = settings.worker.shutdown_timeout
    given = environ.get("ATTUNE_STOP_GRACE_PERIOD", "")
    if not given.isdecimal():
        remedy = "set ATTUNE_STOP_GRACE_PERIOD (seconds) beside stop_grace_period or terminationGracePeriodSeconds"
        return unknown("grace period", f"unknown; draining may take {drain:g} s", remedy)
    if int(given) <= drain:
        remedy = f"allow {drain + 5:g} s, or lower worker.shutdown_timeout"
        return warn(
            "grace period", f"the container is killed after {given} s, but draining may take {drain:g} s", remedy
        )
    return fine("grace period", f"{given} s, draining may take {drain:g} s")
