"""Files below ``artifacts_dir``: live logs while an execution runs, their final places, the result file.

Promises: logs are complete; no writable place is required. Jobs can write here as well, at any moment: everything is
opened below the directory itself, no link is followed, what lies at the name of a new file is removed, never opened,
and only the file that was written is kept.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from agent.execution.report import AllocatedFile, LogFile
from agent.reading.beneath import Directory

log = logging.getLogger(__name__)

#: The volume is shared with Attune's other services, which run as other users of one group.
DIRECTORY_MODE, FILE_MODE = 0o2775, 0o664


class LogWriter:
    """Appends one stream of one execution to its live log, which is made when the first byte comes."""

    def __init__(self, files: ArtifactFiles, path: str) -> None:
        """Write to ``path`` below the artifacts directory."""
        self._files = files
        self.path = path
        self._fd = -1
        self._failed = False
        self.size_bytes = 0
        self.inode: tuple[int, int] | None = None
        self.file_path: str | None = None

    def write(self, data: bytes) -> None:
        """Append; a log that can't be written never fails its execution."""
        if self._failed or not data:
            return
        try:
            if self._fd < 0:
                self._fd = self._files.create(self.path)
                found = os.fstat(self._fd)
                self.inode = found.st_dev, found.st_ino
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            self.size_bytes += len(data)
        except OSError as error:
            self.fail(error)

    def fail(self, error: OSError) -> None:
        """Write nothing more, and say in the log why."""
        self._failed = True
        self._files.complain(error)
        self._cut(error)

    def _cut(self, error: OSError) -> None:
        """Let the log end where it could still be written, with a mark that says so; without room for that, have none.

        The mark takes the place of what was written last: there is no other on a full disk.
        """
        mark = f"\n\n[OUTPUT TRUNCATED: this log could not be written: {error.strerror}]\n".encode()
        self.size_bytes = 0
        if self._fd < 0:
            return
        try:
            kept = os.fstat(self._fd).st_size - len(mark)
            if kept > 0:
                kept -= _broken_character(self._fd, kept)
                os.ftruncate(self._fd, kept)
                if os.write(self._fd, mark) == len(mark):
                    self.size_bytes = kept + len(mark)
        except OSError as another:
            log.debug("no mark in %s: %s", self.path, another)
        if not self.size_bytes:
            self._files.discard(self.path)

    @property
    def failed(self) -> bool:
        """Whether it could not be written: nothing more comes into it."""
        return self._failed

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def kept(self) -> bool:
        """Whether there is a log: whole, or cut with a mark that says so."""
        return self.size_bytes > 0


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
            os.makedirs(os.path.dirname(self._directory), exist_ok=True)
            os.mkdir(self._directory)
            os.chmod(self._directory, DIRECTORY_MODE)

    def live_path(self, execution_id: int, stream: str) -> str:
        """Return where the log lies while its execution runs: ``execution_<id>/<stream>.log``, which followers read."""
        return f"{self._directory}/execution_{execution_id}/{stream}.log"

    def live_log(self, execution_id: int, stream: str, action_ref: str) -> LogWriter:
        """Return the writer of a live log of an execution of ``action_ref``."""
        return LogWriter(self, self.live_path(execution_id, stream))

    def writer_at(self, path: str) -> LogWriter:
        """Return the writer of a file below the artifacts directory."""
        return LogWriter(self, f"{self._directory}/{path}")

    def writer_left(self, path: str) -> LogWriter | None:
        """Return what an earlier process had written to a file below the artifacts directory, as a closed writer."""
        found = self._status(path)
        if found is None or not found.st_size or found.st_uid != os.geteuid():
            return None
        writer = self.writer_at(path)
        writer.size_bytes, writer.inode = found.st_size, (found.st_dev, found.st_ino)
        return writer

    def is_same(self, path: str, inode: tuple[int, int] | None) -> bool:
        """Whether a path below the artifacts directory is this very file, and no copy of it."""
        found = self._status(path)
        return found is not None and (found.st_dev, found.st_ino) == inode

    def below(self, folder: str) -> list[tuple[str, str]]:
        """Return the files two levels below ``folder``, each with the name of the folder that it lies in."""
        found: list[tuple[str, str]] = []
        with contextlib.suppress(OSError), self._root() as root, root.folder(folder) as outer:
            for name in os.listdir(outer):
                with contextlib.suppress(OSError), root.folder(f"{folder}/{name}") as inner:
                    found += [(name, file) for file in os.listdir(inner)]
        return found

    def hand_over(self, writers: Iterable[LogWriter]) -> None:
        """Say that these logs have ended: on a shared volume they are where they belong."""

    def hand_over_left(self, execution_id: int, action_ref: str, logs: tuple[LogFile, ...]) -> tuple[LogFile, ...]:
        """Take on what an earlier process has left; return it as it is to be recorded."""
        return logs

    def left_log(self, execution_id: int, stream: str) -> tuple[str, int, tuple[int, int]] | None:
        """Return path, size and inode of a live log that an earlier process could not record, None where there is none.

        Only a file of ours counts, with no other name but the one that ``place`` gave it before a crash: a job that
        lived on may have put anything in its place. ``place`` looks whether it is that name.
        """
        path = self.live_path(execution_id, stream)
        found = self._status(self._relative(path))
        if found is not None and not found.st_size:
            self.discard(path)  # the crash came before the first byte
            return None
        if found is None or found.st_nlink > 2 or found.st_uid != os.geteuid():
            return None
        return path, found.st_size, (found.st_dev, found.st_ino)

    def _status(self, relative: str) -> os.stat_result | None:
        """Return the status of a regular file below the artifacts directory; None for anything else."""
        with contextlib.suppress(OSError), self._root() as root:
            fd = root.open(relative, os.O_PATH)
            try:
                found = os.fstat(fd)
            finally:
                os.close(fd)
            return found if stat.S_ISREG(found.st_mode) else None
        return None

    def create(self, path: str) -> int:
        """Create a file, with its directories; what has its name is removed. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        with self._parent(path) as (folder, name):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            fd = os.open(name, flags, FILE_MODE, dir_fd=folder)
        with contextlib.suppress(OSError):
            os.fchmod(fd, FILE_MODE)
        return fd

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Open the directory of ``path``, made where it is missing; yields its descriptor and the last part."""
        parent, _, name = self._relative(path).rpartition("/")
        if name in ("", ".", ".."):
            raise OSError(errno.EACCES, "no file name", path)
        with self._root() as root, root.made_folder(parent or ".", DIRECTORY_MODE) as folder:
            yield folder, name

    def _root(self) -> Directory:
        try:
            return Directory(self._directory)
        except FileNotFoundError:
            self.make_root()
            return Directory(self._directory)

    def _relative(self, path: str) -> str:
        return path.removeprefix(f"{self._directory}/")

    def place(self, log_: LogFile, file_path: str) -> str | None:
        """Give a finished log its final name as well; return the final path or None.

        The live log stays what it is: until the transaction commits, somebody else may get the same name. A job that
        exchanged it gets nothing kept, least of all a file that only we may read.
        """
        try:
            with self._root() as root, contextlib.ExitStack() as stack:
                source = root.open(self._relative(log_.path), os.O_RDONLY)
                stack.callback(os.close, source)
                _require_same(os.fstat(source), log_)
                folder, name = stack.enter_context(self._parent(file_path))
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)  # left by a transaction that was rolled back
                _require_no_other_name(os.fstat(source), log_)
                _link_or_copy(source, name, folder)
        except OSError as error:
            self.complain(error)
            self.delete(file_path)  # what was copied before the disk was full
            return None
        return f"{self._directory}/{file_path}"

    def discard(self, live: str) -> None:
        """Remove a live log of which nothing can be kept."""
        with contextlib.suppress(OSError), self._parent(live) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def retire_as(self, live: str, file_path: str) -> None:
        """As ``retire``, with the path below the artifacts directory."""
        if self._status(self._relative(live)) is not None:
            self.retire(live, f"{self._directory}/{file_path}")

    def retire(self, live: str, final: str) -> None:
        """Leave a symbolic link at the live log, once its final name is certain.

        A hard link would keep the space in use after retention has removed the artifact.
        """
        try:
            with self._parent(live) as (folder, name):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{name}.link", dir_fd=folder)
                os.symlink(os.path.relpath(final, os.path.dirname(live)), f"{name}.link", dir_fd=folder)
                os.replace(f"{name}.link", name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            self.complain(error)

    def write_result(self, execution_id: int, data: Any) -> None:
        """Write ``execution_<id>/result.json``."""
        text = json.dumps(data, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace")
        path = f"{self._directory}/execution_{execution_id}/result.json"
        try:
            fd = self.create(path)
            with os.fdopen(fd, "wb") as file:
                file.write(text)
        except OSError as error:
            self.complain(error)
            self.discard(path)

    def hand_over_made(self, execution_id: int) -> None:
        """Say that an execution has ended that could make files through the API: they are where they belong."""

    def measure(self, files: Sequence[AllocatedFile]) -> dict[int, int]:
        """Return the sizes of files by the id of their version; 0 for what is missing, no regular file or outside.

        What is left out is as its row says.
        """
        return {file.id: self._size(file.file_path) for file in files}

    def recorded(self, files: Sequence[AllocatedFile]) -> None:
        """Note that the sizes of these files are certain now."""

    def _size(self, file_path: str) -> int:
        found = self._status(file_path)
        return 0 if found is None else found.st_size

    def delete(self, file_path: str) -> None:
        """Remove an empty file that an action allocated and never filled."""
        with contextlib.suppress(OSError), self._root() as root:
            parent, _, name = file_path.rpartition("/")
            with root.folder(parent or ".") as folder:
                os.unlink(name, dir_fd=folder)

    def complain(self, error: OSError) -> None:
        """Say once that logs and results can't be kept."""
        with self._lock:
            first, self._complained = not self._complained, True
        if first:
            log.warning(
                "can't write to artifacts_dir %s, so logs are not kept: %s; give it a volume that can be written",
                self._directory,
                error.strerror or error,
            )


def _require_same(found: os.stat_result, log_: LogFile) -> None:
    if not stat.S_ISREG(found.st_mode) or log_.inode not in (None, (found.st_dev, found.st_ino)):
        raise OSError(errno.ESTALE, "exchanged while it was written", log_.path)


def _require_no_other_name(found: os.stat_result, log_: LogFile) -> None:
    if log_.left and found.st_nlink != 1:
        raise OSError(errno.ESTALE, "it has another name", log_.path)


def _link_or_copy(source: int, name: str, folder: int) -> None:
    """Give the open file another name: this very file, whatever its old name leads to by now."""
    try:
        os.link(f"/proc/self/fd/{source}", name, dst_dir_fd=folder, follow_symlinks=True)
    except OSError:  # a file system without hard links, or no /proc
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE, dir_fd=folder)
        with os.fdopen(os.dup(source), "rb") as reading, os.fdopen(fd, "wb") as writing:
            shutil.copyfileobj(reading, writing)


def _broken_character(fd: int, size: int) -> int:
    """Return how many of the first ``size`` bytes of a file would be the beginning of a character without its end."""
    tail = os.pread(fd, min(3, size), max(0, size - 3))
    for back, byte in enumerate(reversed(tail), start=1):
        if byte & 0xC0 != 0x80:  # a first byte
            length = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if length > back else 0
    return 0
