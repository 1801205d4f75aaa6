"""Tell the other workers, through ``pack_environment``, that an environment is being built here and what came of it.

This is bookkeeping beside the file lock, not the lock: rows carry no host, so agents with volumes of their own share
them, and a row that is ready or claimed elsewhere says nothing about this disk. An execution that needs its environment
therefore builds it whatever the row says and whether or not the database can be reached; only builds ahead of need wait
for a claim.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

from agent.environments.fingerprint import Fingerprint
from agent.environments.inventory import size_of
from agent.environments.layout import Layout
from agent.environments.model import EnvironmentRequest
from agent.environments.store import Built, EnvironmentRecord, EnvironmentRow, EnvironmentStore
from agent.errors import DatabaseError, EnvironmentFailed, MachineTooSmall
from agent.threads import ThreadGroup

log = logging.getLogger(__name__)


class Lease:
    """A claimed row of ``worker``, renewed while the block runs and closed with its outcome."""

    def __init__(self, store: EnvironmentStore, row_id: int, worker: int, *, renew_every: float = 60.0) -> None:
        """``renew_every`` is in seconds."""
        self._store = store
        self._row = row_id
        self._worker = worker
        self._every = renew_every

    @contextlib.contextmanager
    def held(self, checksum: str | None, layout: Layout) -> Iterator[None]:
        """Renew while the block runs; record ``ready`` at its end, ``failed`` when it raises EnvironmentFailed.

        What ``layout`` points to then is what was built.
        """
        begin = time.monotonic()
        over, threads = threading.Event(), ThreadGroup()
        try:
            threads.start(f"environment-lease-{self._row}", lambda: self._renew(over))
        except MachineTooSmall as error:  # no reason not to build: the directory has a lock of its own
            log.warning("building without renewing the claim of environment row %d: %s", self._row, error)
        try:
            yield
        except BaseException as error:
            self._close(over, threads)
            with _only_logged("record a failed build"):
                self._store.failed(self._row, self._worker, _reason(error))
            raise
        self._close(over, threads)
        with _only_logged("record a finished build"):
            current = layout.current()
            size = 0 if current is None else size_of(current)
            self._store.ready(self._row, self._worker, checksum, Built(size, time.monotonic() - begin))

    def _renew(self, over: threading.Event) -> None:
        while not over.wait(self._every):
            with _only_logged("renew a claim"):
                if not self._store.renew(self._row, self._worker):
                    log.warning("another worker has taken over environment row %d", self._row)
                    return

    @staticmethod
    def _close(over: threading.Event, threads: ThreadGroup) -> None:
        over.set()
        threads.join(5.0)


@contextlib.contextmanager
def recorded(
    store: EnvironmentStore | None, worker: int | None, request: EnvironmentRequest, layout: Layout, found: Fingerprint
) -> Iterator[None]:
    """Record the block as a build, if the database takes it; never in its way."""
    lease: Lease | None = None
    with _only_logged("record a build"):
        row = None if store is None else enter(store, request, layout, found)
        if store is not None and row is not None and worker is not None:
            if row.status == "ready":
                store.mark_outdated(row.id)
            if store.claim(row.id, worker):
                lease = Lease(store, row.id, worker)
    with contextlib.nullcontext() if lease is None else lease.held(found.manifest_checksum, layout):
        yield


def enter(
    store: EnvironmentStore, request: EnvironmentRequest, layout: Layout, found: Fingerprint
) -> EnvironmentRow | None:
    """Insert or refresh the row of ``request``; None when it has no ids.

    Raises:
        DatabaseError: the database refused or can't be reached.
    """
    if request.pack_id is None or request.runtime_id is None:
        return None
    return store.upsert(
        EnvironmentRecord(
            pack=request.pack_id,
            pack_ref=request.pack_ref,
            runtime=request.runtime_id,
            runtime_ref=request.runtime_ref,
            runtime_version=request.runtime_version_id,
            runtime_version_text=request.version,
            env_path=str(layout.link),
            manifest_checksum=found.manifest_checksum,
        )
    )


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, EnvironmentFailed) else f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _only_logged(what: str) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        log.warning("can't %s of an environment in the database: %s", what, error)
