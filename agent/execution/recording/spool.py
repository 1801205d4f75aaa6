"""What can't be written or published now, kept on disk so that not even a restart loses it.

Promises: commit before publish; outages lose nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from agent.execution.report import Report
from agent.reading.regular_files import read_regular, read_regular_text

log = logging.getLogger(__name__)

#: More than this many can only wait when a database stays away for days.
MAX_REPORTS = 10_000
_UNANNOUNCED = "unannounced"
_LARGEST = 128 * 1024 * 1024
_PART = ".part"


class Spool:
    """One file a report, below a directory of this worker; None keeps nothing but what is in memory."""

    def __init__(self, directory: Path | None) -> None:
        """Use ``directory``, made when it is needed."""
        self._directory = directory
        #: Several threads keep, one removes.
        self._lock = threading.Lock()
        self._kept: set[int] = set()
        self._noted: int | None = None

    def __len__(self) -> int:
        """How many reports are kept now."""
        return len(self._kept)

    def _make_directory(self) -> None:
        """Make the directory; one that somebody else has put there is refused. Raises OSError."""
        assert self._directory is not None
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._is_mine():
            raise PermissionError(f"{self._directory} belongs to another user")

    def _is_mine(self) -> bool:
        """Whether nobody else can have written there: the reports are believed, and the files they name are kept."""
        assert self._directory is not None
        try:
            found = self._directory.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022

    def keep(self, report: Report, *, still: Callable[[], bool] = lambda: True) -> None:
        """Write a report down, once, if it is ``still`` to be kept when its turn has come."""
        with self._lock:
            if self._directory is None or report.execution_id in self._kept or len(self._kept) >= MAX_REPORTS:
                return
            if not still():
                return
            try:
                self._make_directory()
                self._write(self._directory / f"{report.execution_id}.json", report.to_json())
            except OSError as error:
                log.warning("the result of execution %d can't be kept on disk: %s", report.execution_id, error)
                return
            self._kept.add(report.execution_id)

    def _write(self, path: Path, text: str) -> None:
        """Write a file whole or not at all. Raises OSError."""
        spare = path.with_suffix(_PART)
        try:
            fd = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(spare, path)
        except OSError:
            with contextlib.suppress(OSError):
                spare.unlink()
            raise

    def remove(self, report: Report) -> None:
        """Forget a report that was written to the database."""
        with self._lock:
            if report.execution_id in self._kept:
                self._kept.discard(report.execution_id)
                if self._directory is not None:
                    with contextlib.suppress(OSError):
                        (self._directory / f"{report.execution_id}.json").unlink()

    def note_unannounced(self, oldest: int | None) -> None:
        """Note since when messages wait for the broker (Unix seconds), None when none waits.

        The rows hold what they say; so the moment is all that a later life needs to send them again.
        """
        if self._directory is None or oldest == self._noted:
            return
        path = self._directory / _UNANNOUNCED
        try:
            if oldest is None:
                path.unlink(missing_ok=True)
            else:
                self._make_directory()
                self._write(path, str(oldest))
        except OSError as error:
            log.warning("can't record on disk that messages wait for the broker: %s", error)
        self._noted = oldest

    def unannounced(self) -> datetime | None:
        """Return since when messages of the previous process wait for the broker, None when none does."""
        if self._directory is None or not self._is_mine():
            return None
        try:
            self._noted = int(read_regular(self._directory / _UNANNOUNCED, 100))
            return datetime.fromtimestamp(self._noted, UTC)
        except (OSError, ValueError, OverflowError):
            return None

    def waiting(self) -> Iterator[Report]:
        """Yield what the previous process of this worker could not write."""
        if self._directory is None or not self._is_mine():
            return
        for left in self._directory.glob(f"*{_PART}"):  # an earlier life was killed while it wrote
            with contextlib.suppress(OSError):
                left.unlink()
        for path in sorted(self._directory.glob("*.json")):
            try:
                report = Report.from_json(read_regular_text(path, _LARGEST))
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("%s is damaged and was left in place: %s", path, error)
                continue
            self._kept.add(report.execution_id)
            yield report
