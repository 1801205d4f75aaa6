"""The logs of executions on their way to the server: in pieces while they grow, and finished when they have ended.

The live log on this machine's own disk is what waits: while the server is away it grows on, and nothing that the server
has acknowledged is sent again. One thread sends for all slots; it sleeps until something was written.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from agent.backoff import Backoff
from agent.counters import COUNTERS
from agent.errors import ServerError, ServerUnavailable
from agent.reading.digest import digest_of
from agent.transport.connection import ServerConnection

log = logging.getLogger(__name__)

#: Seconds that the first byte of a piece waits for more, and the bytes that are not waited for.
GATHER, PIECE = 0.1, 64 * 1024
#: Bytes of one request once there is more.
_LARGEST_PIECE = 1 << 20
_LARGEST_WHOLE = 64 << 20
_BACKOFF = Backoff(first=0.2, longest=5.0, spread=(0.75, 1.0))
_FILES = "/api/v1/internal/files/"


@dataclass(eq=False)
class LogUpload:
    """One file: ``path`` on the server while it grows, ``final`` once it has ended; ``source`` reads it here.

    ``sent`` bytes are acknowledged; of ``written`` the first that isn't was written at ``since``.
    """

    path: str
    final: str
    source: int
    written: int = 0
    sent: int = 0
    since: float = 0.0
    size: int | None = None
    spoilt: bool = False
    failure: str | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def left(self) -> int:
        """How many bytes the server does not have."""
        return max(0, (self.written if self.size is None else self.size) - self.sent)


class LogUploads:
    """The body of the thread ``uploader``, and what slots tell it."""

    def __init__(self, connection: ServerConnection, *, most_waiting: int) -> None:
        """At most ``most_waiting`` bytes wait for a server that is away."""
        self._connection = connection
        self._most = most_waiting
        self._changed = threading.Condition()
        self._growing: list[LogUpload] = []
        self._ended: deque[LogUpload] = deque()
        self._stopped = False
        self._failures = 0
        self._again = 0.0
        self._sent_of_large = False
        self._on_done: Callable[[LogUpload], None] = lambda upload: None

    def on_done(self, told: Callable[[LogUpload], None]) -> None:
        """Tell ``told``, in the uploader's thread, what the server has whole, or will never take."""
        self._on_done = told

    @property
    def waiting(self) -> int:
        """How many bytes the server does not have yet."""
        with self._changed:
            return sum(upload.left for upload in (*self._growing, *self._ended))

    @property
    def full(self) -> bool:
        """Whether no more may wait."""
        return bool(self._failures) and self.waiting >= self._most

    def grown(self, upload: LogUpload, size: int) -> None:
        """Note that a log has ``size`` bytes now."""
        with self._changed:
            before = upload.left
            if not before:
                upload.since = time.monotonic()
            upload.written = size
            if upload not in self._growing:
                self._growing.append(upload)
            # The sleeper knows of what it waits for: it is waked for the first byte, and for a whole piece.
            if not before or before < PIECE <= upload.left:
                self._changed.notify_all()

    def end(self, upload: LogUpload, size: int, *, spoilt: bool = False) -> None:
        """Say that a log has ended with ``size`` bytes; ``spoilt``: not all that was sent is in it."""
        with self._changed:
            if upload in self._growing:
                self._growing.remove(upload)
            upload.size, upload.spoilt = size, spoilt
            self._ended.append(upload)
            self._changed.notify_all()

    def wait(self, upload: LogUpload, seconds: float) -> bool:
        """Wait until an upload is over, as long as the server answers; whether it is over."""
        until = time.monotonic() + seconds
        with self._changed:
            while not upload.done.is_set() and not self._failures and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
        return upload.done.is_set()

    def settled(self, timeout: float) -> bool:
        """Wait until nothing that has ended is left; False when ``timeout`` seconds were not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._ended, timeout)

    def stop(self) -> None:
        """End ``run`` soon; what is left stays on the disk."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def run(self) -> None:
        """Send until ``stop``."""
        try:
            while (upload := self._next()) is not None:
                self._serve(upload)
        finally:
            self._connection.close()

    def _next(self) -> LogUpload | None:
        with self._changed:
            while not self._stopped:
                upload, pause = self._due(time.monotonic())
                if upload is not None:
                    return upload
                self._changed.wait(pause)
            return None

    def _due(self, now: float) -> tuple[LogUpload | None, float | None]:
        """Return what is to be sent now, or how long there is nothing; None: until somebody writes."""
        growing = [upload for upload in self._growing if upload.left and not upload.spoilt]
        if not self._ended and not growing:
            return None, None
        if now < self._again:
            return None, self._again - now
        ended = self._ended[0] if self._ended else None
        if ended is not None and not (ended.left > _LARGEST_PIECE and self._sent_of_large):
            self._sent_of_large = ended.left > _LARGEST_PIECE
            return ended, None
        self._sent_of_large = False  # a large file lets logs that grow go in between
        pause = GATHER
        for upload in growing:
            wait = upload.since + GATHER - now
            if upload.left >= PIECE or wait <= 0:
                return upload, None
            pause = min(pause, wait)
        return (None, pause) if ended is None else (ended, None)

    def _serve(self, upload: LogUpload) -> None:
        try:
            if (size := upload.size) is None:
                self._send_piece(upload, upload.written)
            elif upload.left > _LARGEST_PIECE and not upload.spoilt:
                self._send_piece(upload, size)
            else:
                self._finish(upload, size)
                self._over(upload)
        except ServerUnavailable as error:
            if not self._failures:
                log.warning("logs wait on this machine's disk: %s", error)
            with self._changed:
                self._again = time.monotonic() + _BACKOFF.pause(self._failures)
                self._failures += 1
                self._changed.notify_all()
            return
        except (ServerError, OSError) as error:
            if upload.size is None or (upload.left > _LARGEST_PIECE and not upload.spoilt):
                upload.spoilt = True  # perhaps it can be sent whole when it has ended
                return
            upload.failure = str(error)
            COUNTERS.add("attune_worker_transport_failures_total", kind="log")
            log.error("the server takes no log %s: %s", upload.final, error)
            self._over(upload)
        if self._failures:
            log.info("the server takes logs again")
        self._failures, self._again = 0, 0.0

    def _over(self, upload: LogUpload) -> None:
        self._on_done(upload)
        with self._changed:
            self._ended.remove(upload)
            upload.done.set()
            self._changed.notify_all()

    def _send_piece(self, upload: LogUpload, size: int) -> None:
        """Add what the server doesn't have, at most one piece."""
        piece = os.pread(upload.source, min(_LARGEST_PIECE, size - upload.sent), upload.sent)
        if not piece:
            return
        resumed = self._failures > 0
        reply = self._connection.request(
            "PATCH",
            _url(upload.path),
            body=piece,
            headers={"Upload-Offset": str(upload.sent), "Content-Type": "application/octet-stream"},
            accepted=(409,),
        )
        there = reply.headers.get("upload-offset", "")
        if reply.status == 409:
            if not there.isdigit() or int(there) > size:
                raise ServerError(f"{upload.path} on the server belongs to another worker", status=409)
            upload.sent = int(there)  # a server that came back has less than it had acknowledged, or more
            return
        if not there:  # Attune's Rust API: the whole comes at the end
            upload.spoilt = True
        COUNTERS.add("attune_worker_transport_bytes_total", len(piece), kind="log")
        if resumed:
            COUNTERS.add("attune_worker_transport_resumed_total", kind="log")
        with self._changed:
            upload.sent += len(piece)
            upload.since = time.monotonic()

    def _finish(self, upload: LogUpload, size: int) -> None:
        if not size:
            return  # nothing of it could be kept
        if upload.spoilt or (not upload.sent and size <= _LARGEST_PIECE):
            self._put(upload, size)
            return
        while upload.sent < size:
            self._send_piece(upload, size)
        headers = {
            "Upload-Source": upload.path,
            "Upload-Length": str(size),
            "X-Checksum-Sha256": digest_of(upload.source, size),
            **_alias(upload),
        }
        try:
            self._connection.request("PUT", _url(upload.final), headers=headers)
        except ServerUnavailable:
            raise
        except ServerError as error:
            if error.status not in (404, 409, 422):
                raise
            self._put(upload, size)  # what was sent is gone, or isn't this any longer

    def _put(self, upload: LogUpload, size: int) -> None:
        """Send a short log whole, or one whose end took the place of what was sent already."""
        if size > _LARGEST_WHOLE:
            raise ServerError(f"{upload.final} is too large to be sent in one piece, and the server takes no others")
        content = os.pread(upload.source, size, 0)
        headers = {
            "Content-Type": "application/octet-stream",
            "X-Checksum-Sha256": hashlib.sha256(content).hexdigest(),
            **_alias(upload),
        }
        self._connection.request("PUT", _url(upload.final), body=content, headers=headers)
        COUNTERS.add("attune_worker_transport_bytes_total", len(content), kind="log")
        upload.sent = size


def _url(path: str) -> str:
    return f"{_FILES}{quote(path, safe='/')}"


def _alias(upload: LogUpload) -> dict[str, str]:
    """Who reads where it grew is led to where it is."""
    return {} if upload.path == upload.final else {"Upload-Alias": upload.path}
