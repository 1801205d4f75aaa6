"""Where the log of an execution lies on the server, and how it is read: one place, whatever the worker's transport.

While it runs: ``<artifacts_dir>/execution_<id>/<stream>.log``, which a worker with the shared volume appends to itself
and the upload of pieces appends to for a worker without. When it has ended: the file that its log artifact names, or
the live file where there is none. Nobody has to announce bytes: the file is looked at every 100 ms by one thread of
each server that has viewers. Whoever appends in this process may call ``LogTails.poke`` to have it looked at now.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.reading.beneath import Directory
from agent.reading.regular_files import NoRegularFile, open_regular

STREAMS = ("stdout", "stderr")


@dataclass(frozen=True)
class LogFile:
    """A log: a file below the artifacts directory, or bytes that a row has. ``size`` is in bytes."""

    root: Path
    path: str
    content: bytes | None = None
    size: int | None = None

    def look(self) -> tuple[int, int, int] | None:
        """Return device, inode and size; None where there is no such file."""
        if self.content is not None:
            return 0, 0, len(self.content)
        try:
            found = os.stat(self.root / self.path)
        except (OSError, ValueError):
            return None
        return found.st_dev, found.st_ino, found.st_size

    def read(self, offset: int, most: int) -> bytes:
        """Read up to ``most`` bytes from ``offset``; nothing where there is no such file."""
        if self.content is not None:
            return self.content[offset : offset + most]
        with self._opened() as descriptor:
            return b"" if descriptor is None else os.pread(descriptor, most, offset)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int | None]:
        """Open a regular file that lies below the artifacts, whatever a job put in its place.

        A log that has ended is a link to its final name, so where it leads is found first, and then opened without
        following any link.
        """
        descriptor: int | None = None
        with contextlib.suppress(OSError, ValueError, NoRegularFile):
            root = os.path.realpath(self.root)
            real = os.path.realpath(self.root / self.path)
            if real.startswith(root + os.sep):
                with Directory(root) as directory:
                    probe = directory.open(real[len(root) + 1 :], os.O_PATH)
                try:
                    descriptor = open_regular(f"/proc/self/fd/{probe}")
                finally:
                    os.close(probe)
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)


def live_log(artifacts_dir: Path, execution_id: int, stream: str) -> LogFile:
    """Return the log of an execution while it runs."""
    return LogFile(artifacts_dir, f"execution_{execution_id}/{stream}.log")
