"""One builder per environment, across threads, processes and containers that share the volume.

Three layers, each for what the one before can't do. Threads: a lock in memory, because on network file systems
flock(2) is emulated by locks that belong to the whole process. Processes and containers: flock(2) on a file beside the
environment; it ends with its holder, however that dies. File systems without it: a file that only one can create
(O_EXCL), naming its owner; it is taken over when the owner is known to be dead, or when it is older than any build may
take.

Promise: no half-built environment.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.backoff import Backoff
from agent.errors import EnvironmentFailed
from agent.reading.json_text import read_json
from agent.reading.regular_files import read_regular

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
#: The volume is shared: what lies at a lock's name may be a link or a FIFO.
_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_LARGEST = 4096
_BACKOFF = Backoff(0.03, 0.25, factor=1.5)


class BuildLocks:
    """The locks of one process; ``patience`` is how many seconds a build may take at most."""

    def __init__(self, patience: float) -> None:
        """Hold nothing."""
        self._patience = patience
        self._guard = threading.Lock()
        self._threads: dict[Path, threading.Lock] = {}

    @contextlib.contextmanager
    def hold(self, path: Path, cancelled: Callable[[], bool]) -> Iterator[None]:
        """Hold the lock file ``path`` for the length of the block.

        Raises:
            EnvironmentFailed: it was cancelled while waiting, or another builder took longer than any may take.
            OSError: the file can't be made.
        """
        wait = _Wait(path, self._patience, cancelled)
        with self._guard:
            mine = self._threads.setdefault(path, threading.Lock())
        while not mine.acquire(timeout=wait.pause()):
            pass
        try:
            with _file_lock(path, wait, self._patience):
                yield
        finally:
            mine.release()


class _Wait:
    """Waiting that ends: by cancellation or by patience."""

    def __init__(self, path: Path, patience: float, cancelled: Callable[[], bool]) -> None:
        self._path = path
        self._cancelled = cancelled
        self._deadline = time.monotonic() + patience
        self._attempts = itertools.count()

    def pause(self) -> float:
        """Return the seconds until the next try."""
        if self._cancelled():
            raise EnvironmentFailed(
                f"cancelled while waiting for {self._path}", step="wait for another builder", cancelled=True
            )
        if time.monotonic() > self._deadline:
            raise EnvironmentFailed(
                f"another builder has held {self._path} for longer than a build may take",
                step="wait for another builder",
            )
        return _BACKOFF.pause(next(self._attempts))


@contextlib.contextmanager
def _file_lock(path: Path, wait: _Wait, patience: float) -> Iterator[None]:
    descriptor = _locked(path, wait)
    if descriptor is None:
        with _owner_file(path.with_suffix(".owner"), wait, patience):
            yield
        return
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path, wait: _Wait) -> int | None:
    """Return a descriptor that holds the lock, None where the file system has no flock."""
    while True:
        descriptor = _open(path)
        try:
            if _flock(descriptor, wait) and _still_there(descriptor, path):
                return descriptor
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _UNSUPPORTED:
                raise
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _open(path: Path) -> int:
    """Open for writing, which NFS needs for locks; elsewhere reading another user's file is enough."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o664)
    except PermissionError:
        return os.open(path, os.O_RDONLY | _SAFELY)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise OSError(errno.EBADF, "not a regular file", str(path))
    if found.st_uid == os.geteuid() and found.st_nlink == 1:
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o664)
    return descriptor


def _flock(descriptor: int, wait: _Wait) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(wait.pause())
        else:
            return True


def _still_there(descriptor: int, path: Path) -> bool:
    """Whether ``path`` still names the file that was locked: its pack may have been removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return False


@contextlib.contextmanager
def _owner_file(path: Path, wait: _Wait, patience: float) -> Iterator[None]:
    me = json.dumps({"host": _host(), "pid": os.getpid(), "start": _start_of(os.getpid())})
    while not _create(path, me):
        if _abandoned(path, patience):
            _take_away(path)
        else:
            time.sleep(wait.pause())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if read_regular(path, _LARGEST) == me.encode():
                path.unlink()


def _create(path: Path, content: str) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o664)
    except FileExistsError:
        return False
    try:
        os.write(descriptor, content.encode())
    finally:
        os.close(descriptor)
    return True


def _abandoned(path: Path, patience: float) -> bool:
    """Whether the owner can't be alive. Only on its own host does the process id say so."""
    try:
        age = time.time() - path.stat().st_mtime
        owner = read_json(read_regular(path, _LARGEST) or b"{}")
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        owner = {}
    else:
        if isinstance(owner, dict) and isinstance(owner.get("pid", 0), int) and owner.get("host") == _host():
            return bool(_start_of(owner.get("pid", 0)) != owner.get("start"))
    return age > patience


def _take_away(path: Path) -> None:
    """Remove an abandoned file; when another waiter was quicker, give the new owner its file back."""
    aside = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    with contextlib.suppress(FileNotFoundError, FileExistsError):
        judged = path.stat()
        os.rename(path, aside)
        if not os.path.samestat(judged, aside.stat()):
            os.link(aside, path)
    aside.unlink(missing_ok=True)


def _host() -> str:
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    return socket.gethostname()


def _start_of(pid: int) -> str | None:
    """Return when a process started (proc(5), field 22 of ``stat``), so that a reused id isn't taken for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
