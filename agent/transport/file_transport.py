"""Which way this worker's files go, and the parts that move them: none where a volume is shared."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.configuration import Loaded
from agent.configuration.transports import Transports, transports_of
from agent.db.pool import Database
from agent.errors import ConfigurationError
from agent.execution.outcome.log_files import ArtifactFiles
from agent.execution.pack_files import PackFiles, SharedPacks
from agent.packs.archive import Limits
from agent.runtimes.machine import Machine
from agent.settings import Settings
from agent.threads import ThreadGroup
from agent.transport.address import ServerAddress, server_address
from agent.transport.connection import ServerConnection
from agent.transport.fetched_packs import FetchedPacks
from agent.transport.log_uploads import LogUploads
from agent.transport.made_files import MadeFiles
from agent.transport.pack_versions import PackVersions
from agent.transport.signing_secret import SigningSecret
from agent.transport.uploaded_files import UploadedFiles
from agent.transport.worker_token import Source, WorkerToken, asked_of, signed_by

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileTransport:
    """How packs come and logs go; ``fetched`` and ``uploads`` are None where a directory is shared."""

    packs: PackFiles
    base: Path
    files: ArtifactFiles
    fetched: FetchedPacks | None = None
    uploads: LogUploads | None = None

    def start(self, threads: ThreadGroup) -> None:
        """Start what sends logs, and send what an earlier process could not."""
        if self.uploads is not None and isinstance(self.files, UploadedFiles):
            threads.start("uploader", self.uploads.run)
            self.files.send_left()

    def settled(self, timeout: float) -> bool:
        """Wait until the server has every log that has ended; False when ``timeout`` seconds were not enough."""
        return self.uploads is None or self.uploads.settled(timeout)

    def stop(self) -> None:
        """End what sends logs; the next process of this worker sends the rest."""
        if self.uploads is not None:
            self.uploads.stop()

    @property
    def waiting(self) -> int:
        """How many bytes of logs the server does not have."""
        return 0 if self.uploads is None else self.uploads.waiting

    def changed(self, pack_ref: str) -> None:
        """Note that a pack was installed or removed."""
        if self.fetched is not None:
            self.fetched.changed(pack_ref)

    def gone(self, pack_ref: str) -> None:
        """Let the files of a pack that was removed go."""
        if self.fetched is not None:
            self.fetched.forget(pack_ref)

    def directory_of(self, ended: Callable[[], bool]) -> Callable[[str], Path | None]:
        """Return what finds a pack ahead of need; it raises EnvironmentFailed where the files can't be had."""

        def find(pack_ref: str) -> Path | None:
            if self.fetched is None:
                return self.base / pack_ref
            found = self.fetched.fetch(pack_ref, ended)
            return None if found is None else Path(found)

        return find


def file_transport(loaded: Loaded, database: Database, machine: Machine, worker_id: int) -> FileTransport:
    """Make what the configuration asks for, for the worker with this id.

    Raises:
        ConfigurationError: the API is wanted and nobody says where it is, or its URL is malformed.
    """
    settings = loaded.settings
    chosen = transports_of(settings, loaded.variables)
    if "api" not in (chosen.packs, chosen.artifacts):
        files = ArtifactFiles(settings.artifacts_dir)
        return FileTransport(SharedPacks(str(settings.packs_base_dir)), settings.packs_base_dir, files)
    address = server_address(_url(chosen), settings.network, machine.env)
    token = WorkerToken(_source(settings, address, database))
    ways = [address.url if way == "api" else "a shared volume" for way in (chosen.packs, chosen.artifacts)]
    log.info("packs come through %s, artifacts go through %s", *ways)
    fetched = None
    if chosen.packs == "api":
        upload = settings.pack_upload
        limits = Limits(upload.max_extracted_size_bytes, upload.max_file_count, upload.max_per_entry_size_bytes)
        fetched = FetchedPacks(
            address,
            token,
            PackVersions(settings.packs_base_dir, limits),
            largest=upload.max_upload_size_bytes,
            patience=settings.packs.fetch_timeout,
        )
    packs = fetched or SharedPacks(str(settings.packs_base_dir))
    if chosen.artifacts == "volume":
        return FileTransport(packs, settings.packs_base_dir, ArtifactFiles(settings.artifacts_dir), fetched)
    uploads = LogUploads(ServerConnection(address, token), most_waiting=settings.artifacts.spool_max_bytes)
    made = MadeFiles(database, worker_id)
    files = UploadedFiles(settings.artifacts_dir, uploads, made, wait=settings.artifacts.upload_wait)
    return FileTransport(packs, settings.packs_base_dir, files, fetched, uploads)


def _url(chosen: Transports) -> str:
    if chosen.url is None:
        key = "packs.transport" if chosen.packs == "api" else "artifacts.transport"
        raise ConfigurationError(
            f"{key} is api, but nobody says where the server is", hint="set ATTUNE_API_URL to its URL"
        )
    return chosen.url


def _source(settings: Settings, address: ServerAddress, database: Database) -> Source:
    name = settings.worker.name or "worker"
    if settings.security.jwt_secret is None and settings.agent.bootstrap_token:
        return asked_of(address, settings.agent.bootstrap_token, name)
    return signed_by(SigningSecret(database, settings.security.jwt_secret), name)
