"""The artifacts directory of a worker that shares none with the server: logs wait here until they are there."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.execution.outcome.log_files import ArtifactFiles, LogWriter
from agent.execution.report import LogFile
from agent.reading.beneath import is_inside
from agent.reading.regular_files import read_open
from agent.transport.log_uploads import LogUpload, LogUploads

log = logging.getLogger(__name__)

_FOLDER = re.compile(r"execution_\d{1,19}")
_STREAMS = ("stdout", "stderr")
_LONGEST_NOTE = 4096


class UploadedFiles(ArtifactFiles):
    """Live logs are kept here until the server has them; there they get a name of their own at once."""

    def __init__(self, directory: Path, uploads: LogUploads, *, wait: float) -> None:
        """Send with ``uploads``; the end of an execution waits ``wait`` seconds for it."""
        super().__init__(directory)
        self._uploads = uploads
        self._wait = wait
        self._places: dict[LogUpload, str] = {}
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
                        if is_inside(final):
                            self._send(f"{self._directory}/{folder}/{stream}.log", final)

    def write_result(self, execution_id: int, data: Any) -> None:
        """Write none: the database has the result, and nobody else sees this directory."""

    def measure(self, file_paths: Mapping[int, str]) -> dict[int, int]:
        """Know of none: what an action allocated through the API lies at the server."""
        return {}

    def _send(self, live: str, final: str) -> bool:
        if any(place == live for place in self._places.values()):
            return True
        try:
            with self._root() as root:
                source = root.open(self._relative(live), os.O_RDONLY)
        except OSError as error:
            self.complain(error)
            return False
        size = os.fstat(source).st_size
        upload = LogUpload(self._relative(live), final, source, written=size)
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
        if live is None or upload.failure is not None:
            return  # what the server refused stays for a person to look at
        for path in (live, _note_of(live)):
            self.discard(path)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(live))


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
            self.fail(OSError(errno.ENOSPC, "the server is away, and artifacts.spool_max_bytes of logs wait for it"))
        super().write(data)
        if self._fd < 0 or self._failed:
            return
        if self.upload is None:
            self.upload = LogUpload(self._there, self.file_path or "", os.dup(self._fd))
        if data:
            self._uploads.grown(self.upload, self.size_bytes)


def final_path(execution_id: int, stream: str, action_ref: str) -> str:
    """Return the path of a log that has ended: beside the numbered ones that are written on a shared volume."""
    return f"{action_ref.replace('.', '/')}/{stream}/log/e{execution_id}.txt"


def _note_of(live: str) -> str:
    return f"{live.removesuffix('.log')}.upload"
