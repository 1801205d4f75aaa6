"""The packs of a worker that shares no volume: fetched when an execution needs them, again when they have changed."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from tempfile import TemporaryFile

from agent.backoff import Backoff
from agent.counters import COUNTERS
from agent.environments.model import silent
from agent.errors import EnvironmentFailed, PackError, ServerError, ServerUnavailable
from agent.execution.pack_files import PackUser, pack_name
from agent.transport.address import ServerAddress
from agent.transport.connection import ServerConnection, Token
from agent.transport.pack_download import Ended, PackDownload
from agent.transport.pack_versions import PackVersions

log = logging.getLogger(__name__)

_BACKOFF = Backoff(first=0.2, longest=5.0, spread=(0.75, 1.0))
#: Seconds between two looks whether somebody still waits.
_LOOK = 0.1
_MOST_STAMPS = 4096


@dataclass
class _Pack:
    """What is known of one pack; ``changes`` counts the events that said it has changed, ``seen`` those looked into."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    changes: int = 1
    seen: int = 0
    stamps: dict[tuple[type, int], str] = field(default_factory=dict)


class FetchedPacks:
    """Implements ``PackFiles``; for any thread. What several wait for is fetched once."""

    def __init__(
        self, address: ServerAddress, token: Token, versions: PackVersions, *, largest: int, patience: float
    ) -> None:
        """An archive may have ``largest`` bytes; a server that is away is waited for ``patience`` seconds."""
        self._address = address
        self._token = token
        self._versions = versions
        self._largest = largest
        self._patience = patience
        self._lock = threading.Lock()
        self._packs: dict[str, _Pack] = {}

    def of(self, user: PackUser, stamp: str, *, ended: Callable[[], bool], progress: Callable[[str], None]) -> str:
        """See ``PackFiles``: the server is asked when the user has changed since, or the pack was announced."""
        ref = pack_name(user)
        pack = self._pack(ref)
        key = type(user), user.id
        if pack.stamps.get(key) != stamp or pack.seen != pack.changes:
            with self._turn(ref, pack, ended):
                if pack.stamps.get(key) != stamp or pack.seen != pack.changes:
                    self._look(ref, pack, ended, progress)
                    if len(pack.stamps) >= _MOST_STAMPS:
                        pack.stamps.clear()
                    pack.stamps[key] = stamp
        return str(self._versions.take(ref) or self._versions.directory(ref, "none"))

    def release(self, directory: str) -> None:
        """See ``PackFiles``."""
        self._versions.release(directory)

    def changed(self, ref: str) -> None:
        """Note that a pack was installed or removed: before it is used again the server is asked."""
        self._pack(ref).changes += 1

    def forget(self, ref: str) -> None:
        """Let the files of a removed pack go, when nobody uses them any longer; one that comes back is fetched anew."""
        pack = self._pack(ref)
        with pack.lock:
            pack.changes += 1
            self._versions.forget(ref)
            self._versions.sweep(ref)

    def fetch(self, ref: str, ended: Callable[[], bool]) -> str | None:
        """Fetch a pack ahead of need; return where it lies, None where it has no files.

        Raises:
            EnvironmentFailed: it can't be had.
        """
        pack = self._pack(ref)
        with self._turn(ref, pack, ended):
            if pack.seen != pack.changes:
                self._look(ref, pack, ended, silent)
        taken = self._versions.take(ref)
        if taken is None:
            return None
        self._versions.release(str(taken))
        return str(taken)

    def _pack(self, ref: str) -> _Pack:
        with self._lock:
            return self._packs.setdefault(ref, _Pack())

    @contextlib.contextmanager
    def _turn(self, ref: str, pack: _Pack, ended: Callable[[], bool]) -> Iterator[None]:
        while not pack.lock.acquire(timeout=_LOOK):
            if ended():
                raise _cancelled(ref)
        try:
            yield
        finally:
            pack.lock.release()

    def _look(self, ref: str, pack: _Pack, ended: Callable[[], bool], progress: Callable[[str], None]) -> None:
        """Ask the server which version there is, and fetch it where it isn't here."""
        changes = pack.changes
        try:
            digest = self._fetched(ref, ended, progress)
            if digest is not None:
                self._versions.choose(ref, digest)
        except Ended:
            raise _cancelled(ref) from None
        except (PackError, ServerError, OSError) as error:
            COUNTERS.add("attune_worker_transport_failures_total", kind="pack")
            raise EnvironmentFailed(
                f"pack {ref} could not be fetched: {error}", step="fetch pack", hint=getattr(error, "hint", None)
            ) from error
        if digest is None:
            self._versions.forget(ref)
        pack.stamps.clear()
        pack.seen = changes
        self._versions.sweep(ref)

    def _fetched(self, ref: str, ended: Callable[[], bool], progress: Callable[[str], None]) -> str | None:
        known = self._versions.digests(ref)
        connection = ServerConnection(self._address, self._token)
        try:
            with self._versions.temporary(ref) as temporary, TemporaryFile(dir=temporary) as file:
                download = PackDownload(ref, file, known, self._largest, ended)
                digest = self._persisting(lambda: download.attempt(connection), ended, progress)
                if digest not in known:
                    self._versions.add(ref, digest, file, temporary)
                    log.info("fetched pack %s (%s)", ref, digest[:12])
                return digest
        except ServerError as error:
            if error.status == 404:
                return None
            raise
        finally:
            connection.close()

    def _persisting(self, action: Callable[[], str], ended: Callable[[], bool], progress: Callable[[str], None]) -> str:
        deadline = time.monotonic() + self._patience
        attempt = 0
        while True:
            try:
                return action()
            except ServerUnavailable as error:
                if time.monotonic() >= deadline:
                    raise
                if not attempt:
                    progress(f"waiting for the server: {error}")
                    log.warning("%s", error)
            self._sleep(min(_BACKOFF.pause(attempt), max(0.0, deadline - time.monotonic())), ended)
            attempt += 1

    def _sleep(self, seconds: float, ended: Callable[[], bool]) -> None:
        over = time.monotonic() + seconds
        while (left := over - time.monotonic()) > 0:
            if ended():
                raise Ended
            time.sleep(min(_LOOK, left))


def _cancelled(ref: str) -> EnvironmentFailed:
    return EnvironmentFailed(f"pack {ref} was not fetched: the end was asked for", step="fetch pack", cancelled=True)
