"""One round of pruning: every kind in turn, batch by batch, with a rest after each.

A process that is killed between a commit and the removal of files leaves files that no row names: the look for orphans
finds them. Nothing is remembered, so that the next round, here or elsewhere, goes on.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

import psycopg

from agent.db.error_translation import translated
from agent.db.pool import Connection, Database
from agent.db.queries import load_queries
from agent.retention.artifact_removal import ArtifactRemoval, Known, KnownIds
from agent.retention.rows import History, Kind, events, executions
from agent.retention.versions import Versions
from agent.settings import Settings

Outcome = TypeVar("Outcome")
log = logging.getLogger(__name__)

_STATEMENT_SECONDS = 30.0
_LONGEST_DAYS = 365_000.0
"""What is kept longer is kept for ever; before it there are no dates to compare with."""
_RESTS = 10.0
"""Rests after a batch are so many times as long as it took: the database belongs to those who work."""


class Pruning:
    """Deletes what the settings no longer keep, on one connection of its own."""

    def __init__(
        self,
        settings: Settings,
        *,
        stopped: Callable[[], bool] = lambda: False,
        rest: Callable[[float], object] = time.sleep,
    ) -> None:
        """``stopped`` is asked between batches; ``rest`` waits seconds, and may be cut short."""
        self._settings = settings.retention
        self._removal = ArtifactRemoval(settings.artifacts_dir)
        self._versions = Versions()
        self._stopped = stopped
        self._rest = rest
        self.totals: Counter[str] = Counter()

    @staticmethod
    def connect(database: Database) -> Connection:
        """Open a connection whose statements end after a while, and wait for nobody's lock."""
        connection = database.connect(autocommit=True, statement_timeout=_STATEMENT_SECONDS)
        connection.execute("SELECT set_config('lock_timeout', '2000', false)")
        return connection

    def run_once(self, connection: Connection) -> Mapping[str, int]:
        """Prune everything that is old now; return how much of each kind went. Raises DatabaseError."""
        gone: dict[str, int] = {}

        def count(kind: str, number: int) -> None:
            gone[kind] = gone.get(kind, 0) + number
            if number:
                self.totals[kind] += number

        with translated("the database"):
            for kind in self._kinds(connection):
                self._batches(connection, kind, count)
            self._expired_versions(connection, count)
            self._surplus_versions(connection, count)
            self._orphans(connection, count)
            self._timed(lambda: self._answers(connection))
        if any(gone.values()):
            log.info("pruned %s", ", ".join(f"{number} {kind}" for kind, number in gone.items() if number))
        return gone

    def look(self, connection: Connection) -> Mapping[str, int]:
        """Return how much of each kind would go, changing nothing. Raises DatabaseError."""
        with translated("the database"):
            found = {kind.name: kind.count(connection) for kind in self._kinds(connection)}
            versions, after = 0, 0
            while True:
                some = self._versions.expired(connection, after, 1_000_000)
                versions += len(some.versions)
                if some.last is None:
                    break
                after = some.last
            surplus = 0
            if self._settings.max_bytes:
                surplus = len(self._versions.surplus(connection, self._settings.max_bytes, 1_000_000))
            directories, files = self._removal.orphans(
                self._settings.orphan_grace, *self._known(connection), dry_run=True, stop=self._stopped
            )
        return found | {
            "versions": max(versions, surplus), "orphan_directories": directories, "orphan_files": files
        }  # fmt: skip

    def _kinds(self, connection: Connection) -> list[Kind | History]:
        """In the order of what hangs on what; zero days keep for ever."""
        ages, processed = self._settings, _has_table(connection, "server_event")
        kinds: list[tuple[float, Callable[[timedelta], Kind | History]]] = [
            (ages.execution_days, executions),
            (ages.event_days, lambda age: Kind("enforcements", age)),
            (ages.event_days, lambda age: events(age, processed=processed)),
            (ages.event_days, lambda age: Kind("webhook_log", age)),
            (ages.history_days, History),
            (ages.audit_days, lambda age: Kind("audit", age)),
            (ages.worker_days, lambda age: Kind("workers", age)),
        ]
        return [make(timedelta(days=min(days, _LONGEST_DAYS))) for days, make in kinds if days > 0]

    def _batches(self, connection: Connection, kind: Kind | History, count: Callable[[str, int], None]) -> None:
        while not self._stopped():
            found = self._timed(lambda: self._batch(connection, kind))
            number = found if isinstance(found, int) else len(found)
            count(kind.name, number)
            if kind.name == "executions" and isinstance(found, list):
                self._removal.executions(found)
            if number == 0:
                return

    def _batch(self, connection: Connection, kind: Kind | History) -> list[int] | int:
        try:
            with connection.transaction():
                return kind.batch(connection, self._settings.batch)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            log.info("%s: another session has locked old rows; they are deleted later: %s", kind.name, error)
            return 0

    def _expired_versions(self, connection: Connection, count: Callable[[str, int], None]) -> None:
        after = 0
        while not self._stopped():
            with connection.transaction():
                found = self._versions.expired(connection, after, self._settings.batch)
            went = self._remove(connection, found.versions, count)
            if found.last is None:
                return
            after = after if went else found.last

    def _surplus_versions(self, connection: Connection, count: Callable[[str, int], None]) -> None:
        while self._settings.max_bytes and not self._stopped():
            with connection.transaction():
                found = self._versions.surplus(connection, self._settings.max_bytes, self._settings.batch)
            if not self._remove(connection, found, count):
                return

    def _remove(
        self, connection: Connection, found: list[tuple[int, str | None]], count: Callable[[str, int], None]
    ) -> int:
        """Delete rows, then, when that is certain, the files that only they named."""
        if not found:
            return 0

        def delete() -> set[int]:
            with connection.transaction():
                return self._versions.delete(connection, [number for number, _ in found])

        went = self._timed(delete)
        paths = [path for number, path in found if number in went and path is not None]
        _, size = self._removal.files(self._versions.unnamed(connection, paths))
        count("versions", len(went))
        count("bytes", size)
        return len(went)

    def _orphans(self, connection: Connection, count: Callable[[str, int], None]) -> None:
        directories, files = self._removal.orphans(
            self._settings.orphan_grace, *self._known(connection), stop=self._stopped
        )
        count("orphan_directories", directories)
        count("orphan_files", files)

    def _known(self, connection: Connection) -> tuple[Known, KnownIds]:
        def named(paths: list[str]) -> set[str]:
            return set(paths) - set(self._versions.unnamed(connection, paths))

        return named, lambda ids: self._versions.known_executions(connection, ids)

    def _answers(self, connection: Connection) -> None:
        if _has_table(connection, "server_idempotency"):
            connection.execute(load_queries("agent.retention")["delete_answers"].encode(), {"limit": 10_000})

    def _timed(self, work: Callable[[], Outcome]) -> Outcome:
        """Do it, then rest."""
        begin = time.monotonic()
        found = work()
        took = time.monotonic() - begin
        if not self._stopped():
            self._rest(took * _RESTS)
        return found


def _has_table(connection: Connection, name: str) -> bool:
    """Whether a companion table is there: on a database that Attune's Rust services made there may be none."""
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone()
    return row is not None and bool(row[0])
