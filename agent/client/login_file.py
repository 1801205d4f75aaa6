"""The file that a log-in leaves on this machine: readable by its owner only, replaced as a whole.

Refresh tokens are used once. Commands that run at the same time renew under a lock, so that one asks and the others
take what it got.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.errors import AgentError, ConfigurationError
from agent.reading.json_text import read_json

_LARGEST = 64 << 10


@dataclass(frozen=True)
class Login:
    """Who logged in where; ``ca_file`` holds the authorities that its certificate is checked with."""

    url: str
    login: str
    access_token: str
    refresh_token: str
    ca_file: str | None = None


class LoginFile:
    """The one log-in of this machine's user."""

    def __init__(self, path: Path) -> None:
        """``path`` need not exist."""
        self.path = path

    def read(self) -> Login | None:
        """Return the log-in, None where there is none. Raises ConfigurationError where others could have read it."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"{self.path} can't be read: {error.strerror}") from error
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise ConfigurationError(
                    f"{self.path} must be a file of yours that nobody else may read",
                    hint=f"chmod 600 {self.path}, or log in again: attune login URL",
                )
            text = file.read(_LARGEST)
        try:
            document = read_json(text)
            names = {field.name for field in dataclasses.fields(Login)}
            return Login(**{name: value for name, value in document.items() if name in names})
        except (ValueError, AttributeError, TypeError):
            raise ConfigurationError(f"{self.path} is damaged", hint="log in again: attune login URL") from None

    def write(self, login: Login) -> None:
        """Keep a log-in. Raises AgentError when it can't be written."""
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                beside.unlink()
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(dataclasses.asdict(login), file)
                file.flush()
                os.fsync(fd)
            beside.replace(self.path)
        except OSError as error:
            raise AgentError(f"the log-in can't be kept in {self.path}: {error.strerror}") from error

    def forget(self) -> None:
        """Remove it."""
        for path in (self.path, self._lock):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other command renew meanwhile; where no lock can be had, go on without."""
        try:
            fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            yield
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @property
    def _lock(self) -> Path:
        return self.path.with_name(f"{self.path.name}.lock")
