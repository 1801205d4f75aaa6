"""The fetched versions of packs on this machine's disk: each whole, under its digest, there while anybody uses it.

``<base>/.fetched/<ref>/<digest>/`` are the files, ``<digest>.lock`` is locked by every process that uses them (shared)
and by the one that removes them (exclusive). A version is unpacked under another name and gets its own by one rename.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

from agent.errors import PackError
from agent.packs.archive import Limits, unpacked

log = logging.getLogger(__name__)

FOLDER = ".fetched"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NEW = ".new-"
#: Seconds after which what an earlier process was unpacking is no longer anybody's.
_LEFT_AFTER = 86400.0


@dataclass
class _Version:
    """A version that this process uses; ``lock`` is the descriptor that holds the shared lock."""

    directory: Path
    lock: int
    users: int = 0
    wanted: bool = True


@dataclass
class PackVersions:
    """For any thread."""

    base: Path
    limits: Limits
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _used: dict[str, _Version] = field(default_factory=dict)
    _current: dict[str, str] = field(default_factory=dict)

    def digests(self, ref: str) -> list[str]:
        """Return the digests of the versions that are on the disk."""
        with contextlib.suppress(OSError):
            return sorted(name for name in os.listdir(self._folder(ref)) if _DIGEST.fullmatch(name))
        return []

    def directory(self, ref: str, digest: str) -> Path:
        """Return where a version lies, or would lie."""
        return self._folder(ref) / digest

    @contextlib.contextmanager
    def temporary(self, ref: str) -> Iterator[Path]:
        """Give a directory on the same file system for what is being fetched, for the length of the block.

        Raises:
            PackError: nothing can be written there.
        """
        folder = self._folder(ref)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._remove_left(folder)
            made = Path(mkdtemp(prefix=_NEW, dir=folder))
        except OSError as error:
            raise PackError(
                f"can't write to {folder}: {error.strerror or error}",
                hint="give packs_base_dir (ATTUNE__PACKS_BASE_DIR) a place that this worker may write to",
            ) from error
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def add(self, ref: str, digest: str, archive: IO[bytes], temporary: Path) -> None:
        """Unpack an archive below ``temporary`` and give it its place, unless somebody else has done so.

        Raises:
            PackError: it holds what it may not, or there is no room for it.
        """
        place = self.directory(ref, digest)
        with unpacked(archive, self.limits, parent=temporary) as files:
            files.chmod(0o755)
            try:
                os.rename(files, place)
            except OSError as error:
                if not place.is_dir():
                    raise PackError(f"can't make {place}: {error.strerror or error}") from error

    def choose(self, ref: str, digest: str) -> None:
        """Make a version the one that ``take`` gives, and keep it; the one before goes when its last user has ended.

        Raises:
            PackError: another process has removed it meanwhile.
        """
        with self._lock:
            place = self.directory(ref, digest)
            if str(place) not in self._used and self._open(ref, digest) is None:
                raise PackError(f"what was fetched is gone from {place}")
            self._used[str(place)].wanted = True
            before, self._current[ref] = self._current.get(ref), digest
            if before is not None and before != digest:
                self._abandon(ref, before)

    def forget(self, ref: str) -> None:
        """Have no version of a pack that was removed."""
        with self._lock:
            before = self._current.pop(ref, None)
            if before is not None:
                self._abandon(ref, before)

    def take(self, ref: str) -> Path | None:
        """Return the present version, which stays until ``release``; None where there is none."""
        with self._lock:
            digest = self._current.get(ref)
            if digest is None:
                return None
            version = self._used[str(self.directory(ref, digest))]
            version.users += 1
            return version.directory

    def release(self, directory: str) -> None:
        """Say that one user of a version has ended."""
        with self._lock:
            version = self._used.get(directory)
            if version is None:
                return
            version.users -= 1
            if not version.users and not version.wanted:
                self._drop(version)

    def sweep(self, ref: str) -> None:
        """Remove versions of earlier lives that nobody uses."""
        keep = self._current.get(ref)
        for digest in self.digests(ref):
            with self._lock:
                if digest != keep and str(self.directory(ref, digest)) not in self._used:
                    self._remove(self.directory(ref, digest))

    def _abandon(self, ref: str, digest: str) -> None:
        version = self._used[str(self.directory(ref, digest))]
        version.wanted = False
        if not version.users:
            self._drop(version)

    def _open(self, ref: str, digest: str) -> _Version | None:
        place = self.directory(ref, digest)
        try:
            lock = _locked(place, fcntl.LOCK_SH)
        except OSError:
            return None
        if not place.is_dir():
            os.close(lock)
            return None
        version = self._used[str(place)] = _Version(place, lock)
        return version

    def _drop(self, version: _Version) -> None:
        self._used.pop(str(version.directory), None)
        os.close(version.lock)
        self._remove(version.directory)

    def _remove(self, place: Path) -> None:
        """Remove a version unless another process uses it: then that one does it, or a later one."""
        try:
            lock = _locked(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        try:
            gone = place.with_name(f"{_NEW}{place.name[:16]}-{os.getpid()}-{time.monotonic_ns()}")
            with contextlib.suppress(FileNotFoundError):
                os.rename(place, gone)  # nobody ever sees half of it
                shutil.rmtree(gone, ignore_errors=True)
            place.with_name(f"{place.name}.lock").unlink(missing_ok=True)
        except OSError as error:
            log.warning("can't remove %s, which nobody uses: %s", place, error.strerror or error)
        finally:
            os.close(lock)

    def _remove_left(self, folder: Path) -> None:
        before = time.time() - _LEFT_AFTER
        for entry in os.scandir(folder):
            if entry.name.startswith(_NEW) and entry.stat(follow_symlinks=False).st_mtime < before:
                shutil.rmtree(entry.path, ignore_errors=True)

    def _folder(self, ref: str) -> Path:
        return self.base / FOLDER / ref


def _locked(place: Path, how: int) -> int:
    """Lock a version; not one whose lock file was removed while we waited. Raises OSError."""
    path = place.with_name(f"{place.name}.lock")
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, how)
            if os.path.exists(path) and os.path.samestat(os.fstat(lock), os.stat(path)):
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
