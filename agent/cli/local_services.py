"""Start what `attune up` consists of, each when what it needs is there; stop it in the opposite order."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.access.identities import ADMIN, assign, create_identity, find_identity
from agent.cli.child_process import ChildProcess
from agent.cli.embedded import embedded_postgres
from agent.cli.local_site import LocalSite, State
from agent.configuration import load_settings
from agent.control.fleet import workers
from agent.db.migrations import apply_migrations, read_migrations, status
from agent.db.pool import Database
from agent.errors import AgentError, UsageError
from agent.packs.install import install
from agent.packs.parser import read_pack
from agent.paths import shipped

WORKER, SENSORS, LOGIN = "local", "local-sensors", "admin"
_USUAL_PORT, _PORTS = 8080, 50
_START_SECONDS = 60.0
_PAUSE = 0.05


class LocalServices:
    """Database, server, worker and sensor service of one directory; ``check`` finds out that one of them has ended."""

    def __init__(self, site: LocalSite, say: Callable[[str], None]) -> None:
        """``say`` gets what is being done, for a person who waits."""
        self._site = site
        self._say = say
        self._children: list[ChildProcess] = []

    @contextlib.contextmanager
    def running(self, host: str, port: int | None) -> Iterator[State]:
        """Run everything for the length of the block.

        Raises:
            AgentError: something did not start; what had started is stopped.
        """
        begin = time.monotonic()
        chosen = free_port(host, port)
        site = self._site
        with contextlib.ExitStack() as stack:
            self._say("starting PostgreSQL")
            url = stack.enter_context(embedded_postgres(site.path("postgres"), keep=True))
            config = site.configure(database_url=url, worker=WORKER, sensors=SENSORS, host=host, port=chosen)
            settings = load_settings({}, config=config).settings
            with contextlib.closing(Database(settings.database, application_name="attune-up")) as database:
                self._say("preparing the database")
                self._refuse_newer(database)
                apply_migrations(database, shipped("migrations"))
                self._say("starting the server and a worker")
                words = ["--config", str(config), "server"]
                self._start(stack, ChildProcess("server", words, site.path("server.log")))
                self._start(stack, ChildProcess.agent(config, site.path("worker.log")))
                self._start(stack, ChildProcess.sensors(config, site.path("sensors.log")))
                for name in ("core", "examples"):
                    install(database, read_pack(shipped("packs") / name), settings.packs_base_dir)
                password = self._first_account(database)
                self._wait(lambda: _listens(host, chosen), "server")
                self._wait(lambda: _is_ready(database), "worker")
            shown = "localhost" if host in ("0.0.0.0", "::", "127.0.0.1", "::1") else host  # noqa: S104 - shown
            yield State(
                pid=os.getpid(),
                url=f"http://{shown}:{chosen}",
                directory=str(site.directory),
                login=LOGIN,
                password=password,
                worker=WORKER,
                seconds=round(time.monotonic() - begin, 1),
            )

    def check(self) -> None:
        """Raise AgentError when one of them has ended by itself."""
        for child in self._children:
            child.check()

    def _refuse_newer(self, database: Database) -> None:
        """Leave a database alone that a newer version has changed: unlike several servers, nobody needs both here."""
        directory = shipped("migrations")
        known = {migration.name for migration in read_migrations(directory)}
        if unknown := sorted(set(status(database, directory).applied) - known):
            raise AgentError(
                f"a newer attune has changed the database in {self._site.directory}: {unknown[-1]} is unknown here",
                hint="use that version; with --reset this one begins anew",
            )

    def _start(self, stack: contextlib.ExitStack, child: ChildProcess) -> None:
        stack.enter_context(child.running())
        self._children.append(child)

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise AgentError(
                    f"the {what} was not ready within {_START_SECONDS:.0f} s",
                    hint=f"see: {self._site.path(what + '.log')}",
                )
            time.sleep(_PAUSE)

    def _first_account(self, database: Database) -> str | None:
        """Make the first account; return its password, None where it was changed or the account is somebody else's."""
        kept = self._site.path("account")
        with database.connection() as connection:
            if find_identity(connection, login=LOGIN) is not None:
                return _read(kept)
            password = self._site.kept_secret("account")
            made = create_identity(connection, LOGIN, password=password, display_name="First account")
            assign(connection, made, ADMIN)
        return password


def free_port(host: str, wanted: int | None) -> int:
    """Return the port to listen on: the one that was asked for, else the usual one or the next that is free.

    Raises:
        UsageError: the one that was asked for is taken, or none is free.
    """
    if wanted:
        if not _free(host, wanted):
            raise UsageError(
                f"port {wanted} of {host} is taken", hint="choose another with --port, or leave it to attune"
            )
        return wanted
    for port in range(_USUAL_PORT, _USUAL_PORT + _PORTS) if wanted is None else (0,):
        if port == 0:
            with socket.create_server((host, 0), family=_family(host)) as made:
                return int(made.getsockname()[1])
        if _free(host, port):
            return port
    raise UsageError(f"no port of {_USUAL_PORT} to {_USUAL_PORT + _PORTS - 1} is free", hint="choose one with --port")


def _free(host: str, port: int) -> bool:
    try:
        socket.create_server((host, port), family=_family(host)).close()
    except OSError as error:
        if isinstance(error, socket.gaierror):
            raise UsageError(f"{host} is no address of this machine") from error
        return False
    return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _listens(host: str, port: int) -> bool:
    try:
        address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what can be connected to
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def _is_ready(database: Database) -> bool:
    return any(one.name == WORKER and one.status == "active" and one.alive for one in workers(database))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
