"""Apply the SQL files of ``migrations/`` once, in the order of their names, each in a transaction of its own.

A database whose tables another implementation's migrations made is left alone: only the tables of the PostgreSQL
broker and those of `attune server` may be added to it, and only on request (promise: what others made stays).
Migrations only add, so that a program accepts a schema with later ones that it doesn't know: a roll-back works.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql

from agent.db.error_translation import is_away, reason, translated
from agent.db.pool import Connection, Database
from agent.errors import MigrationError

log = logging.getLogger(__name__)

# First key of the advisory lock; the second one is the schema, so that two schemas don't wait for each other.
_LOCK = 0x41747475
_PATIENCE, _PAUSE = 300.0, 0.1
_LOCK_WAIT = "300s"
_QUEUE_SUFFIX = "_message_queue.sql"
_SERVER_SUFFIX = "server.sql"
# An index that is built without stopping those who write can't be built inside a transaction.
_OUTSIDE = b"-- Outside a transaction"

Part = Literal["queue", "server"]


@dataclass(frozen=True)
class Migration:
    """One file: its name orders it, its SHA-256 tells whether it was changed."""

    path: Path
    text: bytes

    @property
    def name(self) -> str:
        """Return the file's name."""
        return self.path.name

    @property
    def checksum(self) -> str:
        """Return the hexadecimal SHA-256 of the file."""
        return hashlib.sha256(self.text).hexdigest()

    @property
    def is_queue(self) -> bool:
        """Return whether it makes the tables of the PostgreSQL broker rather than Attune's own."""
        return self.part == "queue"

    @property
    def part(self) -> Part | None:
        """Tell whose tables it makes where that isn't Attune's own: the broker's or the server's."""
        if self.name.endswith(_QUEUE_SUFFIX):
            return "queue"
        return "server" if self.name.endswith(_SERVER_SUFFIX) else None

    @property
    def outside_transaction(self) -> bool:
        """Return whether its statements are run one by one; each of them can be repeated."""
        return self.text.startswith(_OUTSIDE)


@dataclass(frozen=True)
class Applied:
    """A migration that was applied just now, and how many seconds it took."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Status:
    """Who made the tables, which migrations are recorded and which are still to be applied.

    ``origin``: ``empty`` (no tables), ``ours``, or ``reference`` (made by another implementation's migrations).
    """

    origin: Literal["empty", "ours", "reference"]
    applied: tuple[str, ...]
    pending: tuple[str, ...]


def apply_migrations(
    database: Database, directory: Path, *, queue_only: bool = False, only: Part | None = None
) -> list[Applied]:
    """Bring the schema up to date and return what was applied; the schema is made when it is missing.

    ``only`` applies nothing but the tables of the PostgreSQL broker (``queue_only`` means the same) or of the server.
    Without it, a database that another implementation made stays as it is and the list is empty; ``status`` tells the
    two apart.

    Raises:
        MigrationError: a file was changed after it was applied, is unknown to this build, or failed.
        DatabaseUnavailable: the server can't be reached.
    """
    migrations = read_migrations(directory)
    with _locked(database) as connection:
        before = _status(connection, database.address.schema, migrations)
        part = "queue" if queue_only else only
        wanted = [migration for migration in migrations if _wanted(migration, before, part)]
        if not wanted:
            return []
        _prepare(connection, database.address.schema)
        return [_apply(connection, migration) for migration in wanted]


def status(database: Database, directory: Path) -> Status:
    """Compare the database with the files; changes nothing.

    Raises:
        MigrationError: a file was changed after it was applied, or is unknown to this build.
        DatabaseUnavailable: the server can't be reached.
    """
    with database.connection() as connection:
        return _status(connection, database.address.schema, read_migrations(directory))


def read_migrations(directory: Path) -> list[Migration]:
    """Return the migrations of ``directory`` in the order in which they are applied."""
    return [Migration(path, path.read_bytes()) for path in sorted(directory.glob("*.sql"))]


def _wanted(migration: Migration, before: Status, part: Part | None) -> bool:
    if migration.name not in before.pending:
        return False
    return migration.part == part if part else before.origin != "reference"


@contextmanager
def _locked(database: Database) -> Iterator[Connection]:
    """Hold the lock that keeps two programs from migrating one schema at the same time."""
    connection = database.connect(autocommit=True)
    try:
        with translated(database.address.label):
            connection.execute("SELECT set_config('lock_timeout', %s, false)", [_LOCK_WAIT])
            _wait_for_turn(connection, database.address.schema)
            # Closing the connection releases the lock, also after an error.
            yield connection
    finally:
        connection.close()


def _wait_for_turn(connection: Connection, schema: str) -> None:
    """Ask again and again: a statement that waits is a transaction that the building of an index waits for."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        row = connection.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", [_LOCK, schema]).fetchone()
        if row is not None and row[0]:
            return
        if time.monotonic() > deadline:
            raise MigrationError(
                f"another program has been migrating schema {schema} for {_PATIENCE:g} s", hint="wait for it to end"
            )
        time.sleep(_PAUSE)


def _status(connection: Connection, schema: str, migrations: list[Migration]) -> Status:
    recorded = _recorded(connection, schema)
    _refuse_surprises(recorded, migrations)
    base = {migration.name for migration in migrations if migration.part is None}
    if base & set(recorded):
        origin: Literal["empty", "ours", "reference"] = "ours"
    else:
        origin = "reference" if _has_table(connection, schema, "execution") else "empty"
    pending = tuple(migration.name for migration in migrations if migration.name not in recorded)
    return Status(origin, tuple(sorted(recorded)), pending)


def _recorded(connection: Connection, schema: str) -> dict[str, str]:
    if not _has_table(connection, schema, "attune_migration"):
        return {}
    return dict(connection.execute("SELECT name, checksum FROM attune_migration").fetchall())


def _has_table(connection: Connection, schema: str, table: str) -> bool:
    found = connection.execute(
        "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = %s AND tablename = %s", [schema, table]
    )
    return found.fetchone() is not None


def _refuse_surprises(recorded: dict[str, str], migrations: list[Migration]) -> None:
    known = {migration.name: migration.checksum for migration in migrations}
    for name, checksum in recorded.items():
        if name not in known and any(name < one for one in known):
            raise MigrationError(
                f"the database has migration {name}, which this program doesn't know",
                hint="use the version of attune that applied it, or a newer one",
            )
        if name in known and known[name] != checksum:
            raise MigrationError(
                f"migration {name} was changed after it was applied",
                hint="restore the file and put the change into a new migration with a later name",
            )


def _prepare(connection: Connection, schema: str) -> None:
    # Asking first: a role that may not create schemas can still migrate one that exists.
    if connection.execute("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", [schema]).fetchone() is None:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    if not _has_table(connection, schema, "attune_migration"):
        connection.execute(
            """CREATE TABLE attune_migration (
                   name text PRIMARY KEY,
                   checksum text NOT NULL,
                   applied timestamptz NOT NULL DEFAULT now()
               )"""
        )


def _apply(connection: Connection, migration: Migration) -> Applied:
    begin = time.monotonic()
    try:
        if migration.outside_transaction:
            _run_each(connection, migration)
        with connection.transaction():
            if not migration.outside_transaction:
                connection.execute(migration.text, prepare=False)
            connection.execute(
                "INSERT INTO attune_migration (name, checksum) VALUES (%s, %s)",
                [migration.name, migration.checksum],
            )
    except psycopg.Error as error:
        if is_away(error):
            raise
        raise MigrationError(
            f"migration {migration.name} failed{_line(error, migration)}: {reason(error)}",
            hint="nothing of this file was applied; correct the cause and run the command again",
        ) from error
    applied = Applied(migration.name, time.monotonic() - begin)
    log.info("applied migration %s in %.2f s", applied.name, applied.seconds)
    return applied


def _run_each(connection: Connection, migration: Migration) -> None:
    """Run the statements one by one; an index that an interrupted run left half built is built again."""
    # The session waits for other programs' transactions, not for a lock: no limit of time makes sense here.
    invalid = connection.execute(
        "SELECT c.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid"
        " WHERE NOT x.indisvalid AND c.relname LIKE 'server\\_%' AND c.relnamespace = current_schema()::regnamespace"
    ).fetchall()
    for (name,) in invalid:
        connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(name)))
    for statement in migration.text.decode("utf-8").split(";\n"):
        lines = [line for line in statement.splitlines() if line.strip() and not line.startswith("--")]
        if lines:
            connection.execute(sql.SQL("\n".join(lines)))


def _line(error: psycopg.Error, migration: Migration) -> str:
    position = error.diag.statement_position
    if position is None:
        return ""
    before = migration.text.decode("utf-8")[: int(position) - 1]
    return f" at line {before.count(chr(10)) + 1}"
