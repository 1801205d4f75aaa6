"""Files below ``artifacts_dir``: live logs while an execution runs, their final places, the result file.

Promises: logs are complete; no writable place is required.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.execution.report import LogFile

log = logging.getLogger(__name__)

#: The volume is shared with Attune's other services, which run as other users of one group.
_DIRECTORY_MODE, _FILE_MODE = 0o2775, 0o664


class LogWriter:
    """Appends one stream of one execution to its live log, which is made when the first byte comes."""

    def __init__(self, files: ArtifactFiles, path: str) -> None:
        """Write to ``path`` below the artifacts directory."""
        self._files = files
        self.path = path
        self._fd = -1
        self._failed = False
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        """Append; a log that can't be written never fails its execution."""
        if self._failed or not data:
            return
        try:
            if self._fd < 0:
                self._fd = self._files.create(self.path)
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            self.size_bytes += len(data)
        except OSError as error:
            self._failed = True
            self._files.complain(error)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def complete(self) -> bool:
        """Whether there is a log, and nothing of it is missing."""
        return self.size_bytes > 0 and not self._failed


class ArtifactFiles:
    """The artifacts directory of this worker; where it can't be written, one warning is given and no log kept."""

    def __init__(self, directory: Path) -> None:
        """Use ``directory``; it is made when something is to be written."""
        self._directory = str(directory)
        self._lock = threading.Lock()
        self._complained = False

    def make_root(self) -> None:
        """Make the directory itself; where that is impossible the first write says so."""
        with contextlib.suppress(OSError):
            self._make_directories(self._directory)

    def live_log(self, execution_id: int, stream: str) -> LogWriter:
        """Return the writer of ``execution_<id>/<stream>.log``, which followers read."""
        return LogWriter(self, f"{self._directory}/execution_{execution_id}/{stream}.log")

    def create(self, path: str) -> int:
        """Create or empty a file, with its directories. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(path, flags, _FILE_MODE)
        except FileNotFoundError:
            self._make_directories(os.path.dirname(path))
            fd = os.open(path, flags, _FILE_MODE)
        with contextlib.suppress(OSError):
            os.fchmod(fd, _FILE_MODE)
        return fd

    def _make_directories(self, directory: str) -> None:
        if os.path.isdir(directory):
            return
        self._make_directories(os.path.dirname(directory))
        try:
            os.mkdir(directory)
        except FileExistsError:
            return
        with contextlib.suppress(OSError):
            os.chmod(directory, _DIRECTORY_MODE)

    def place(self, log_: LogFile, file_path: str) -> str | None:
        """Give a finished log its final name as well; return the final path or None.

        The live log stays what it is: until the transaction commits, somebody else may get the same name.
        """
        final = f"{self._directory}/{file_path}"
        try:
            self._make_directories(os.path.dirname(final))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(final)  # left by a transaction that was rolled back
            _link_or_copy(log_.path, final)
        except OSError as error:
            self.complain(error)
            return None
        return final

    def retire(self, live: str, final: str) -> None:
        """Leave a symbolic link at the live log, once its final name is certain.

        A hard link would keep the space in use after retention has removed the artifact.
        """
        spare = f"{live}.link"
        try:
            os.symlink(os.path.relpath(final, os.path.dirname(live)), spare)
            os.replace(spare, live)
        except OSError as error:
            self.complain(error)

    def write_result(self, execution_id: int, data: Any) -> None:
        """Write ``execution_<id>/result.json``."""
        text = json.dumps(data, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace")
        try:
            fd = self.create(f"{self._directory}/execution_{execution_id}/result.json")
            with os.fdopen(fd, "wb") as file:
                file.write(text)
        except OSError as error:
            self.complain(error)

    def measure(self, file_paths: Mapping[int, str]) -> dict[int, int]:
        """Return the sizes of files by key; 0 for one that is missing."""
        sizes = {}
        for key, file_path in file_paths.items():
            try:
                sizes[key] = os.stat(f"{self._directory}/{file_path}").st_size
            except OSError:
                sizes[key] = 0
        return sizes

    def delete(self, file_path: str) -> None:
        """Remove an empty file that an action allocated and never filled."""
        with contextlib.suppress(OSError):
            os.unlink(f"{self._directory}/{file_path}")

    def complain(self, error: OSError) -> None:
        """Say once that logs and results can't be kept."""
        with self._lock:
            first, self._complained = not self._complained, True
        if first:
            log.warning("artifacts_dir can't be written, so logs are not kept: %s", error)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
