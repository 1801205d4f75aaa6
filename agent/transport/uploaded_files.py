"""The artifacts directory of a worker that shares none with the server: logs wait here until they are there."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.errors import DatabaseError
from agent.execution.outcome.log_files import ArtifactFiles, LogWriter
from agent.execution.report import AllocatedFile, LogFile
from agent.reading.beneath import is_inside
from agent.reading.regular_files import read_open
from agent.transport.log_uploads import LogUpload, LogUploads
from agent.transport.made_files import MadeFiles

log = logging.getLogger(__name__)

NO_ROOM = "the server is away, and artifacts.spool_max_bytes of logs wait for it"
_FOLDER = re.compile(r"execution_\d{1,19}")
_STREAMS = ("stdout", "stderr")
_LONGEST_NOTE = 4096
_MOST_SENT = 10_000


class UploadedFiles(ArtifactFiles):
    """Live logs are kept here until the server has them; there they get a name of their own at once."""

    def __init__(self, directory: Path, uploads: LogUploads, made: MadeFiles, *, wait: float) -> None:
        """Send with ``uploads``; the end of an execution waits ``wait`` seconds for it. ``made`` knows other files."""
        super().__init__(directory)
        self._uploads = uploads
        self._wait = wait
        self._places: dict[LogUpload, str] = {}
        self._made = made
        self._sent: dict[str, _MadeFile] = {}
        self._lock_of_made = threading.Lock()
        uploads.on_done(self._arrived)

    def live_log(self, execution_id: int, stream: str, action_ref: str) -> LogWriter:
        """See the base class."""
        path, final = f"execution_{execution_id}/{stream}.log", final_path(execution_id, stream, action_ref)
        return _UploadedLog(self, self._uploads, self.live_path(execution_id, stream), path, final)

    def hand_over(self, writers: Iterable[LogWriter]) -> None:
        """Send what is left of these logs; wait for the server to have them, but not for one that is away."""
        begun = [
            (writer, writer.upload)
            for writer in writers
            if isinstance(writer, _UploadedLog) and writer.upload is not None
        ]
        for writer, upload in begun:
            self._places[upload] = writer.path
            self._uploads.end(upload, writer.size_bytes, spoilt=writer.was_cut)
        over = time.monotonic() + self._wait
        for writer, upload in begun:
            if not self._uploads.wait(upload, max(0.0, over - time.monotonic())):
                self._note(writer.path, upload.final)

    def hand_over_left(self, execution_id: int, action_ref: str, logs: tuple[LogFile, ...]) -> tuple[LogFile, ...]:
        """See the base class: the name there is the one that the earlier process would have given it."""
        return tuple(
            replace(log_, file_path=final)
            for log_ in logs
            for final in (final_path(execution_id, log_.stream, action_ref),)
            if self._send(log_.path, final)
        )

    def retire_as(self, live: str, file_path: str) -> None:
        """Send a log that was recorded, but has not left this machine."""
        if self._status(self._relative(live)) is not None:
            self._send(live, file_path)

    def send_left(self) -> None:
        """Send what an earlier process could not, because the server was away."""
        with contextlib.suppress(OSError), self._root() as root:
            for folder in filter(_FOLDER.fullmatch, os.listdir(root.fd)):
                for stream in _STREAMS:
                    with contextlib.suppress(OSError, ValueError):
                        note = root.open(f"{folder}/{stream}.upload", os.O_RDONLY)
                        final = read_open(note, folder, _LONGEST_NOTE).decode()
                        # Jobs write here, too: nothing but this log is sent.
                        if is_inside(final) and final.endswith(f"/{stream}/log/{_name(folder)}"):
                            self._send(f"{self._directory}/{folder}/{stream}.log", final)
        self._send_left_made()

    def writer_at(self, path: str) -> LogWriter:
        """See the base class; without room for what waits nothing more is written."""
        return _WaitingLog(self, self._uploads, f"{self._directory}/{path}")

    def send_growing(self, live: str, final: str) -> LogUpload | None:
        """Send a file while it grows, under its final name; None where it is gone. ``LogUploads.end`` ends it."""
        try:
            with self._root() as root:
                source = root.open(self._relative(live), os.O_RDONLY)
        except OSError as error:
            self.complain(error)
            return None
        upload = LogUpload(final, final, source)
        self._places[upload] = live
        self._note(live, final)
        return upload

    def send_noted(self, path: str) -> bool:
        """Send the rest of a file of which an earlier process has noted where it goes; False where it has not."""
        with contextlib.suppress(OSError, ValueError), self._root() as root:
            note = root.open(_note_of(path), os.O_RDONLY)
            final = read_open(note, path, _LONGEST_NOTE).decode()
            return is_inside(final) and self._send(f"{self._directory}/{path}", final, there=final)
        return False

    def write_result(self, execution_id: int, data: Any) -> None:
        """Write none: the database has the result, and nobody else sees this directory."""

    def hand_over_made(self, execution_id: int) -> None:
        """Send what an action wrote where the API had told it to; wait as for logs."""
        try:
            paths = self._made.of_execution(execution_id)
        except DatabaseError as error:
            log.debug("which files execution %d made can't be asked now: %s", execution_id, error)
            return  # its end is recorded later, and finds them
        over = time.monotonic() + self._wait
        for file in [self._send_made(execution_id, path) for path in paths]:
            if file is not None:
                self._uploads.wait(file.upload, max(0.0, over - time.monotonic()))

    def measure(self, files: Sequence[AllocatedFile]) -> dict[int, int]:
        """Return the sizes of those that were written here; what an action uploaded itself is as its row says."""
        sizes = {}
        for file in files:
            sent = self._sent.get(file.file_path) or self._send_made(file.execution, file.file_path)
            if sent is not None:
                sizes[file.id] = sent.size
            elif file.size_bytes is None:
                sizes[file.id] = 0  # nobody has written it
        return sizes

    def recorded(self, files: Sequence[AllocatedFile]) -> None:
        """Let those go that the server has: their rows say so."""
        for file in files:
            with self._lock_of_made:
                sent = self._sent.get(file.file_path)
                if sent is None:
                    continue
                sent.recorded = True
            self._let_go(sent)

    def _send_made(self, execution_id: int, path: str) -> _MadeFile | None:
        """Send a file that an action wrote; None where there is none."""
        try:
            with self._root() as root:
                source = root.open(path, os.O_RDONLY)
        except OSError:
            return None
        found = os.fstat(source)
        if not stat.S_ISREG(found.st_mode) or not found.st_size or not _is_made(path):
            os.close(source)
            return None
        upload = LogUpload(f"execution_{execution_id}/made/{path}", path, source, written=found.st_size)
        file = _MadeFile(path, found.st_size, upload)
        with self._lock_of_made:
            self._sent[path] = file
            while len(self._sent) > _MOST_SENT:
                self._sent.pop(next(iter(self._sent)))
        self._uploads.end(upload, found.st_size)
        return file

    def _let_go(self, file: _MadeFile) -> None:
        if file.recorded and file.arrived:
            with self._lock_of_made:
                self._sent.pop(file.path, None)
            self.delete(file.path)

    def _send_left_made(self) -> None:
        """Send what an earlier process recorded and could not send; it is told apart by its row."""
        paths = []
        with contextlib.suppress(OSError), self._root() as root:
            for folder, names, files, _ in os.fwalk(".", dir_fd=root.fd, follow_symlinks=False):
                if folder == ".":
                    names[:] = [name for name in names if _is_made(f"{name}/x")]
                    continue
                paths += [os.path.normpath(os.path.join(folder, name)) for name in files]
                if len(paths) > _MOST_SENT:
                    break
        try:
            known = self._made.known(paths) if paths else []
        except DatabaseError as error:
            log.warning("files that actions made wait for the next start: %s", error)
            return
        for one in known:
            file = self._send_made(one.execution, one.file_path)
            if file is not None:
                file.recorded = True

    def _send(self, live: str, final: str, *, there: str | None = None) -> bool:
        """Send what a file has; ``there`` is where the server has its beginning, where that is not the file's own."""
        if any(place == live for place in self._places.values()):
            return True
        try:
            with self._root() as root:
                source = root.open(self._relative(live), os.O_RDONLY)
        except OSError as error:
            self.complain(error)
            return False
        size = os.fstat(source).st_size
        upload = LogUpload(there or self._relative(live), final, source, written=size)
        self._places[upload] = live
        self._note(live, final)
        self._uploads.end(upload, size)
        return True

    def _note(self, live: str, final: str) -> None:
        """Leave word for the next process: this log is not there yet."""
        with contextlib.suppress(OSError), os.fdopen(self.create(_note_of(live)), "w") as file:
            file.write(final)

    def _arrived(self, upload: LogUpload) -> None:
        live = self._places.pop(upload, None)
        os.close(upload.source)
        made = self._sent.get(upload.final)
        if made is not None and made.upload is upload and upload.failure is None:
            made.arrived = True
            self._let_go(made)
            return
        if live is None or upload.failure is not None:
            return  # what the server refused stays for a person to look at
        for path in (live, _note_of(live)):
            self.discard(path)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(live))


@dataclass
class _MadeFile:
    """A file that an action made: it stays here until the server has it and its row says how large it is."""

    path: str
    size: int
    upload: LogUpload
    arrived: bool = False
    recorded: bool = False


def _is_made(path: str) -> bool:
    """Whether a path is none of those that this program keeps for itself."""
    first = path.split("/", 1)[0]
    return is_inside(path) and not first.startswith((".", "_pending")) and not _FOLDER.fullmatch(first)


class _WaitingLog(LogWriter):
    """Is written only while there is room for what waits for the server."""

    def __init__(self, files: UploadedFiles, uploads: LogUploads, path: str) -> None:
        super().__init__(files, path)
        self._uploads = uploads

    def write(self, data: bytes) -> None:
        """See the base class."""
        if data and not self._failed and self._uploads.full:
            self.fail(OSError(errno.ENOSPC, NO_ROOM))
        super().write(data)


class _UploadedLog(LogWriter):
    """Tells the uploader of every write; without room for what waits the log is cut, and says so."""

    def __init__(self, files: UploadedFiles, uploads: LogUploads, local: str, path: str, final: str) -> None:
        super().__init__(files, local)
        self._uploads = uploads
        self._there = path
        self.file_path = final
        self.upload: LogUpload | None = None

    @property
    def was_cut(self) -> bool:
        """Whether its end took the place of something that may have been sent."""
        return self._failed

    def write(self, data: bytes) -> None:
        """See the base class."""
        if data and not self._failed and self._uploads.full:
            self.fail(OSError(errno.ENOSPC, NO_ROOM))
        super().write(data)
        if self._fd < 0 or self._failed:
            return
        if self.upload is None:
            self.upload = LogUpload(self._there, self.file_path or "", os.dup(self._fd))
        if data:
            self._uploads.grown(self.upload, self.size_bytes)


def final_path(execution_id: int, stream: str, action_ref: str) -> str:
    """Return the path of a log that has ended: beside the numbered ones that are written on a shared volume."""
    return f"{action_ref.replace('.', '/')}/{stream}/log/{_name(f'execution_{execution_id}')}"


def _name(folder: str) -> str:
    """Return what the logs of an execution are called at the server, of the name of its folder here."""
    return f"e{folder.removeprefix('execution_')}.txt"


def _note_of(live: str) -> str:
    return f"{live.removesuffix('.log')}.upload"
