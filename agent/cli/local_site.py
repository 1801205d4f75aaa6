"""The directory of `attune up`: who holds it, what is in it, and how it is emptied."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from agent.errors import AgentError, UsageError

_OURS = ("postgres", "packs", "artifacts", "runtime_envs", "config.yaml", "encryption-key", "account", "state")
_LOGS = ("server.log", "worker.log", "sensors.log", "up.log")
_LARGEST = 65536
_LOCK = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True)
class State:
    """What a running `attune up` says about itself; ``seconds`` it took to be ready."""

    pid: int
    url: str
    directory: str
    login: str
    password: str | None
    worker: str
    seconds: float


class LocalSite:
    """A directory that one `attune up` at a time works in."""

    def __init__(self, directory: Path | None) -> None:
        """Take the directory that was named, else the usual one of this user."""
        self.directory = Path(os.path.abspath(directory or _usual()))

    def path(self, name: str) -> Path:
        """Return the path of something in it."""
        return self.directory / name

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Hold the directory for the length of the block; gives False where somebody else does.

        The lock is the kernel's: what a killed `attune up` leaves behind holds nobody up.
        """
        with _sentences(self.directory):
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            # PostgreSQL, which is another user than root, passes through root's.
            self.directory.mkdir(mode=0o700 if os.geteuid() else 0o711, exist_ok=True)
            _require_own(self.directory)
            descriptor = os.open(self.path("lock"), _LOCK, 0o600)
            os.fchmod(descriptor, 0o600)
            file = os.fdopen(descriptor, "r+", encoding="utf-8")
        with file:
            if not _taken(file):
                yield False
                return
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            self.path("state").unlink(missing_ok=True)
            try:
                yield True
            finally:
                self.path("state").unlink(missing_ok=True)

    def holder(self) -> int | None:
        """Return the process that holds it now, None when nobody does."""
        try:
            with self.path("lock").open("r+", encoding="utf-8") as file:
                if _taken(file):
                    return None
                text = file.read(20).strip()
                return int(text) if text.isdigit() else None
        except OSError:
            return None

    def tell(self, state: State) -> None:
        """Let others know that it is ready."""
        self.write("state", json.dumps(asdict(state)))

    def state(self) -> State | None:
        """Return what the one who holds it says about itself, None before it is ready."""
        try:
            return State(**json.loads(self.path("state").read_text(encoding="utf-8")[:_LARGEST]))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, name: str, text: str) -> Path:
        """Write a file that only this user reads, whole or not at all."""
        path, made = self.path(name), self.path(f".{name}.new")
        with _sentences(self.directory):
            made.unlink(missing_ok=True)
            with os.fdopen(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
            made.replace(path)
        return path

    def kept_secret(self, name: str) -> str:
        """Return a secret that is made once and kept."""
        try:
            return self.path(name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            made = secrets.token_urlsafe(32)
            self.write(name, made)
            return made

    def configure(self, *, database_url: str, worker: str, sensors: str, host: str, port: int) -> Path:
        """Write the settings that all programs of this directory share; return their file."""
        for name in ("artifacts", "runtime_envs", "packs"):
            with _sentences(self.directory):
                self.path(name).mkdir(exist_ok=True)
                self.path(name).chmod(0o700)  # an earlier version made it for everybody
        document: dict[str, Any] = {
            "database": {"url": database_url},
            "message_queue": {"url": "database"},
            "security": {"encryption_key": self.kept_secret("encryption-key")},
            "server": {"host": host, "port": port},
            "worker": {"name": worker, "heartbeat_interval": 5, "shutdown_timeout": 15},
            "sensor": {"worker_name": sensors, "heartbeat_interval": 5, "shutdown_timeout": 15},
            "log": {"format": "pretty"},
            "packs_base_dir": str(self.path("packs")),
            "runtime_envs_dir": str(self.path("runtime_envs")),
            "artifacts_dir": str(self.path("artifacts")),
        }
        return self.write("config.yaml", json.dumps(document, indent=2))  # JSON is YAML

    def reset(self) -> None:
        """Delete what `attune up` made, and nothing else that lies there."""
        with _sentences(self.directory):
            for name in (*_OURS, *_LOGS):
                path = self.path(name)
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    @property
    def used(self) -> bool:
        """Whether there is a database in it."""
        return self.path("postgres").is_dir()


@contextlib.contextmanager
def _sentences(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise AgentError(f"the disk that holds {directory} is full", hint="make room, and start again") from error
        reason = error.strerror or str(error)
        raise UsageError(f"can't use {directory}: {reason}", hint="name another with --directory") from error


def _require_own(directory: Path) -> None:
    """Refuse a directory in which others could put a password or settings of theirs. Raises UsageError, OSError."""
    found = directory.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise UsageError(
            f"{directory} must belong to you, and nobody else may write in it",
            hint=f"chmod go-w {directory}, or name another with --directory",
        )


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _usual() -> Path:
    """Root's own directory is closed to the user that PostgreSQL must run as there."""
    if os.geteuid() == 0:
        return Path("/var/lib/attune-up")
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if os.path.isabs(data) else Path.home() / ".local/share") / "attune-up"
