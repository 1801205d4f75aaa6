"""File the pieces of sensors' logs away: each is a version of its log's artifact as soon as it has begun.

One thread does it for all sensors, so that none waits for the database. On a shared volume a piece gets its final name
while it is written; elsewhere it is sent while it grows. What can't be filed yet waits on the disk.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from dataclasses import dataclass

from agent.errors import DatabaseError
from agent.execution.outcome.log_files import ArtifactFiles
from agent.execution.report import LogFile
from agent.sensors.log_store import LogStore, NewVersion
from agent.sensors.log_writing import Piece
from agent.transport.log_uploads import LogUpload, LogUploads
from agent.transport.uploaded_files import UploadedFiles

log = logging.getLogger(__name__)

#: Seconds between two looks at how far open pieces have grown, and between two attempts while the database is away.
_MEASURE, _AGAIN = 10.0, 2.0
#: Pieces of all sensors that wait for the database; the oldest that has ended goes when there are more.
_MOST_WAITING = 64
_LEFT = re.compile(r"(stdout|stderr)\.([^./]+)\.\d+\.log")


@dataclass
class _Filed:
    """What became of a piece: its version, and where it is on the way to the server or to its final name."""

    version: NewVersion
    size: int
    upload: LogUpload | None = None
    linked: bool = False


class LogFiling:
    """The body of the thread ``sensor-logs``, and what children tell it (``Pieces``)."""

    def __init__(self, files: ArtifactFiles, store: LogStore, uploads: LogUploads | None, *, owner: str) -> None:
        """Record with ``store``; send with ``uploads`` where no volume is shared."""
        self._files = files
        self._store = store
        self._uploads = uploads
        self._owner = owner
        self._changed = threading.Condition()
        self._waiting: deque[Piece] = deque()
        self._filed: dict[Piece, _Filed] = {}
        self._over: deque[Piece] = deque()
        self._stopping = False
        self._away = False
        self._measured = time.monotonic()

    # --- what children tell; nothing here waits for anybody ---

    def begun(self, piece: Piece) -> None:
        """See ``Pieces``."""
        with self._changed:
            self._waiting.append(piece)
            self._changed.notify()

    def grown(self, piece: Piece) -> None:
        """See ``Pieces``."""
        filed = self._filed.get(piece)
        if filed is not None and filed.upload is not None and self._uploads is not None:
            self._uploads.grown(filed.upload, piece.writer.size_bytes)

    def over(self, piece: Piece) -> None:
        """See ``Pieces``."""
        with self._changed:
            self._over.append(piece)
            self._changed.notify()

    def settled(self, timeout: float) -> bool:
        """Wait until all that has ended is filed away; False when ``timeout`` seconds were not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._over, timeout)

    def stop(self) -> None:
        """End ``run`` soon; what is not filed yet the next life of this service files."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    # --- the thread ---

    def run(self) -> None:
        """File what an earlier life has left, then all that begins, until ``stop``."""
        for piece in self._left():
            self.begun(piece)
            self.over(piece)
        while True:
            with self._changed:
                if self._stopping:
                    return
                if not (self._waiting or self._over) or self._away:
                    self._changed.wait(_AGAIN if self._away else _MEASURE)
            self._away = False
            try:
                self._file_all()
            except DatabaseError as error:
                log.warning("logs of sensors wait on this machine's disk: %s", error)
                self._away = True
                self._drop_surplus()

    def _file_all(self) -> None:
        while self._waiting and not self._stopping:
            piece = self._waiting[0]
            if piece.writer.kept:
                self._file(piece)
            with self._changed:
                self._waiting.popleft()
                self._changed.notify_all()
        while self._over and not self._waiting and not self._stopping:
            piece = self._over[0]
            self._finish(piece)
            with self._changed:
                self._over.popleft()
                self._changed.notify_all()
        if time.monotonic() - self._measured >= _MEASURE:
            self._measured = time.monotonic()
            self._measure()

    def _file(self, piece: Piece) -> None:
        version, gone = self._store.add(piece.ref, piece.sensor_ref, piece.stream, piece.retention, _size(piece))
        for file_path in gone:
            self._files.delete(file_path)
        filed = _Filed(version, 0)
        if isinstance(self._files, UploadedFiles) and self._uploads is not None:
            filed.upload = self._files.send_growing(piece.writer.path, version.file_path)
            if filed.upload is not None:
                self._uploads.grown(filed.upload, _size(piece))
        else:
            self._link(piece, filed)
        self._filed[piece] = filed

    def _link(self, piece: Piece, filed: _Filed) -> None:
        """Give a piece its final name; where that is a copy, the copy is made again when the piece has ended."""
        path = filed.version.file_path
        if self._files.place(_as_log(piece), path) is None:
            return
        filed.linked = self._files.is_same(path, piece.writer.inode)
        if filed.linked:
            self._files.discard(piece.writer.path)

    def _finish(self, piece: Piece) -> None:
        filed = self._filed.get(piece)
        if filed is None:
            self._files.discard(piece.writer.path)  # nothing of it could be kept
            return
        size = _size(piece)
        if filed.upload is not None and self._uploads is not None:
            self._uploads.end(filed.upload, size)
        elif not filed.linked:
            self._link(piece, filed)
            self._files.discard(piece.writer.path)
        self._store.measure(filed.version, size)
        del self._filed[piece]

    def _measure(self) -> None:
        for piece, filed in list(self._filed.items()):
            if (size := _size(piece)) != filed.size:
                self._store.measure(filed.version, size)
                filed.size = size

    def _drop_surplus(self) -> None:
        with self._changed:
            while len(self._waiting) > _MOST_WAITING:
                piece = next((one for one in self._waiting if one.ended), None)
                if piece is None:
                    return
                self._waiting.remove(piece)
                if piece in self._over:
                    self._over.remove(piece)
                self._files.discard(piece.writer.path)

    def _left(self) -> list[Piece]:
        """Return what an earlier life of this service could not file, the oldest first."""
        found = []
        for folder, name in self._files.below("sensors"):
            match = _LEFT.fullmatch(name)
            if match is None or match[2] != self._owner:
                continue
            path = f"sensors/{folder}/{name}"
            if isinstance(self._files, UploadedFiles) and self._files.send_noted(path):
                continue
            writer = self._files.writer_left(path)
            if writer is not None:
                piece = Piece(folder, match[1], writer, self._store.usual_retention)
                piece.ended = True
                found.append(piece)
        return sorted(found, key=lambda piece: piece.writer.path)


def _size(piece: Piece) -> int:
    return piece.writer.size_bytes


def _as_log(piece: Piece) -> LogFile:
    policy, limit = piece.retention
    return LogFile(piece.stream, piece.ref, piece.writer.path, _size(piece), policy, limit, piece.writer.inode)
