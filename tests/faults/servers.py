"""PostgreSQL and RabbitMQ of their own for the faults: they are restarted, killed and filled up."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from agent.db.migrations import apply_migrations
from agent.db.pool import Database
from agent.packs.loader import register
from agent.packs.parser import read_pack
from agent.packs.registered import registered_runtimes
from agent.paths import shipped
from agent.settings import DatabaseSettings
from tests.services.postgres import fresh_database
from tests.services.rabbitmq import RabbitNode
from tests.services.rabbitmq import missing as rabbit_missing

ROOT = Path(__file__).resolve().parents[2]
_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
#: The server refuses to run as root.
_NOBODY = 65534


class PostgresNode:
    """One server of Debian's packages, listening on a free port; its data survive restarts."""

    def __init__(self, directory: Path) -> None:
        """Make a cluster in ``directory``."""
        self._directory = directory
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        directory.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(directory, _NOBODY, _NOBODY)
        self._run("initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        with (directory / "postgresql.conf").open("a") as configuration:
            configuration.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
                "fsync = off\nfull_page_writes = off\nmax_connections = 100\nshared_buffers = 64MB\n"
            )

    @property
    def url(self) -> str:
        """URL of the maintenance database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._run("pg_ctl", "-w", "-t", "60", "-l", str(self._directory / "log"), "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` ends all sessions, ``immediate`` is a crash."""
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def restart(self, mode: str = "fast") -> None:
        """Stop and start it."""
        self.stop(mode)
        self.start()

    def configure(self, setting: str) -> None:
        """Change a setting of the server: ``name = value``, or ``RESET name``."""
        words = setting if setting.startswith("RESET") else f"SET {setting}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM {words}".encode())
            connection.execute("SELECT pg_reload_conf()")

    def _run(self, program: str, *arguments: str) -> None:
        as_user = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--"]
        command = [*(as_user if os.geteuid() == 0 else []), str(_PROGRAMS[-1] / program), "-D", str(self._directory)]
        subprocess.run(
            [*command, *arguments],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=120,
        )


@dataclass(frozen=True)
class Servers:
    """Both servers, and the name of a database to be cloned."""

    postgres: PostgresNode
    rabbit: RabbitNode
    template: str


def missing() -> list[str]:
    """The Debian packages of the servers that aren't installed."""
    return [*([] if _PROGRAMS else ["postgresql"]), *(["rabbitmq-server"] if rabbit_missing() else [])]


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Start both for the length of the block, with a migrated database that has the core pack."""
    directory = Path(tempfile.mkdtemp(prefix="attune-faults-"))
    directory.chmod(0o755)
    postgres, rabbit = PostgresNode(directory / "postgres"), RabbitNode(directory / "rabbit")
    try:
        postgres.start()
        rabbit.start()
        with fresh_database(postgres.url, "template") as url:
            database = Database(DatabaseSettings(url=url), application_name="faults")
            apply_migrations(database, shipped("migrations"))
            register(database, read_pack(ROOT / "packs" / "core", registered_runtimes(database)))
            database.close()
            yield Servers(postgres, rabbit, url.rpartition("/")[2])
    finally:
        rabbit.kill()
        postgres.stop("immediate")
        shutil.rmtree(directory, ignore_errors=True)
