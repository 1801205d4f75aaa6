"""`attune server`: the parts of one process, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from agent.access.login import Logins
from agent.access.secret import signing_secret
from agent.configuration import Loaded
from agent.control.outbox import Outbox, broker_in_database
from agent.control.requesting import executor_consumes
from agent.db.clock import DatabaseClock
from agent.db.migrations import apply_migrations, status
from agent.db.pool import Database
from agent.dispatch.outbox_sender import OutboxThread
from agent.dispatch.service import Dispatcher
from agent.errors import BrokerError, ConfigurationError, UsageError
from agent.logs import add_secret
from agent.mq.broker import Broker
from agent.mq.connect import open_broker
from agent.paths import shipped
from agent.retention.service import Retention
from agent.rules.service import Rules
from agent.server.application import build_application
from agent.server.audit import Audit
from agent.server.call import Services, rows
from agent.server.rule_changes import Changes
from agent.server.sentinels import write_sentinels
from agent.server.stop_requests import StopRequests
from agent.server.streams.hub import Hub
from agent.settings import Settings
from agent.threads import ThreadGroup

log = logging.getLogger(__name__)

PARTS = ("api", "dispatcher", "rules", "retention")
_COMPANION = "server_event"
"""The newest of the server's own tables."""


def run_server(
    loaded: Loaded,
    *,
    only: tuple[str, ...],
    host: str | None,
    port: int | None,
    say: Callable[[str], None] = lambda line: None,
) -> int:
    """Serve until a signal asks for the end; return the exit code. ``say`` gets what a person should read.

    Raises:
        AgentError: the server can't start; its ``exit_code`` says why.
    """
    settings = _settings(loaded.settings, host, port)
    database = Database(
        settings.database,
        application_name="attune-server api",
        statement_timeout=settings.server.statement_timeout,
    )
    try:
        parts = _prepare(database, only, named=bool(only))
        log.info("connected to PostgreSQL at %s", database.address.label)
        return _serve(settings, database, parts, say)
    finally:
        database.close()


def _settings(settings: Settings, host: str | None, port: int | None) -> Settings:
    server = dataclasses.replace(
        settings.server,
        host=settings.server.host if host is None else host,
        port=settings.server.port if port is None else port,
    )
    broker = dataclasses.replace(settings.message_queue, url=settings.message_queue.url or "database")
    pool = dataclasses.replace(
        settings.database, max_connections=min(settings.database.max_connections, server.threads + 2)
    )
    return dataclasses.replace(settings, server=server, message_queue=broker, database=pool)


def _prepare(database: Database, only: tuple[str, ...], *, named: bool) -> tuple[str, ...]:
    """Migrate an empty schema or our own; on one that others made, run only what was named."""
    directory = shipped("migrations")
    found = status(database, directory)
    if found.origin == "reference" and not named:
        raise ConfigurationError(
            "this database belongs to Attune's Rust services: no part of this server runs on it unless it is named",
            hint=f"name the parts that those services don't run: attune server --only {','.join(PARTS)}",
        )
    if found.origin != "reference":
        apply_migrations(database, directory)
    elif not _has_companions(database):
        raise ConfigurationError(
            "the tables of attune server are missing in this database", hint="run: attune db migrate --server"
        )
    return only or PARTS


def _has_companions(database: Database) -> bool:
    with database.connection() as connection:
        row = connection.execute("SELECT to_regclass(%s)", [_COMPANION]).fetchone()
        return row is not None and row[0] is not None


def _serve(settings: Settings, database: Database, parts: tuple[str, ...], say: Callable[[str], None]) -> int:
    stop = StopRequests()
    stop.listen()
    broker = open_broker(settings, name="attune-server")
    if broker_in_database(settings):
        broker.declare(())
    if "dispatcher" in parts and not settings.dispatcher.beside_executor:
        _refuse_two_makes(broker)
    secret = signing_secret(database, settings.security.jwt_secret)
    add_secret(secret)
    clock = _clock(database)
    failed: list[BaseException] = []
    loop_stop: list[_Server] = []

    def died(name: str, error: BaseException) -> None:
        failed.append(error)
        for server in loop_stop:
            server.should_exit = True

    threads = ThreadGroup(on_death=died)
    publisher = broker.publisher()
    threads.start("publisher", publisher.run)
    outbox = None if broker_in_database(settings) else OutboxThread(settings, publisher, threads)
    dispatcher = Dispatcher(settings, broker, publisher, threads) if "dispatcher" in parts else None
    rules = Rules(settings, threads, dispatcher.wake if dispatcher else lambda: None) if "rules" in parts else None
    changes = Changes(database)
    services = Services(
        settings,
        database,
        secret,
        clock,
        Outbox(in_database=broker_in_database(settings)),
        broker,
        Logins(
            database,
            secret,
            clock,
            access_seconds=settings.security.jwt_access_expiration,
            refresh_seconds=settings.security.jwt_refresh_expiration,
        ),
        Hub(database, settings, clock),
        dispatcher,
        rules,
        changes,
    )
    if "api" in parts:
        services.streams.start(threads)
    retention = Retention(settings, database, threads) if "retention" in parts else None
    services.retention = retention
    audit = Audit(database)
    threads.start("audit", audit.run)
    if outbox is not None:
        outbox.start()
    if dispatcher is not None:
        dispatcher.start()
    if rules is not None:
        rules.start()
    if "api" in parts:
        threads.start("changes-listen", changes.run)
    if retention is not None:
        retention.start()
    try:
        server = _http(services, audit, stop, api="api" in parts)
        loop_stop.append(server)
        with _listening(settings) as listening:
            _announce(listening, parts, settings, say)
            if "api" in parts:
                write_sentinels(settings, settings.server.public_url or _url(listening))
            server.stop_accepting = lambda: _drain(services)
            asyncio.run(server.serve(sockets=[listening]))
    finally:
        stop.listen()  # the loop has let go of them
        _drain(services)
        services.streams.stop()
        running = [part for part in (dispatcher, rules, retention, outbox) if part is not None]
        for part in running:
            part.stop()
        audit.stop()
        publisher.close()
        services.archives.close()
        left = threads.join(max(1.0, settings.server.shutdown_timeout))
        for part in running:
            part.close()
        if left:
            log.warning("threads that did not end: %s", ", ".join(left))
    return 70 if failed else 0


def _clock(database: Database) -> DatabaseClock:
    """Make the clock by which tokens live: each server's own may be another."""
    clock = DatabaseClock()
    with database.reading() as connection:
        clock.tell(float(rows(connection, "agent.server", "database_time")[0]["now"]))
    return clock


def _drain(services: Services) -> None:
    """Take no new work, and let nobody wait any longer for a change."""
    services.draining = True
    services.changes.stop()
    services.streams.open.close()  # they would stay for ever


def _refuse_two_makes(broker: Broker) -> None:
    """Attune's executor and this dispatcher would place the same rows, each by its own rules."""
    try:
        found = executor_consumes(broker)
    except BrokerError as error:
        log.warning("can't tell whether Attune's executor runs: %s", error)
        return
    if found:
        raise ConfigurationError(
            "Attune's executor places executions here: it consumes attune.execution.requests.queue",
            hint="stop it, run attune server --only api, or set dispatcher.beside_executor",
        )


def _http(services: Services, audit: Audit, stop: StopRequests, *, api: bool) -> _Server:
    from agent.server.resources import health
    from agent.server.routes import ROUTES

    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    application = build_application(services, audit, ROUTES if api else health.ROUTES, page=api)
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, int(services.settings.server.shutdown_timeout)),
        timeout_keep_alive=30,
    )
    return _Server(config, stop)


class _Server(uvicorn.Server):
    """Drains when it is asked to stop, also where that came before it served."""

    stop_accepting = staticmethod(lambda: None)

    def __init__(self, config: uvicorn.Config, stop: StopRequests) -> None:
        super().__init__(config)
        self._stop = stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals for the length of the block."""
        loop = asyncio.get_running_loop()
        self._stop.drain = self._leave
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.take)
        if self._stop.asked:
            self._leave()
        yield

    def _leave(self) -> None:
        self.should_exit = True
        self.stop_accepting()


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"can't listen on {host}:{port}: {reason}", hint="choose another with --host and --port"
        ) from error
    # Inherited by each connection. asyncio does it only where the protocol was named; without it a small answer after
    # the first one waits for the client's delayed acknowledgement, 40 ms.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with made:
        yield made


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    shown = "localhost" if host in ("0.0.0.0", "::") else host  # noqa: S104 - what a person can open
    return f"http://{shown}:{port}"


def _announce(listening: socket.socket, parts: tuple[str, ...], settings: Settings, say: Callable[[str], None]) -> None:
    host, port = listening.getsockname()[:2]
    say(f"attune server ({', '.join(parts)}) listens on {_url(listening)}")
    say("first account: attune identity create --admin LOGIN")
    log.info(
        "listening on %s:%d with %s",
        host,
        port,
        "the database as broker" if broker_in_database(settings) else "a broker",
    )
