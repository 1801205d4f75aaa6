"""What sensors write, on its way into files: pieces of a bounded size, and no faster than a disk can bear.

A child that floods its output is slowed down, as a full pipe slows down whoever writes to it: its log stays whole, and
neither this service nor the disk is taken from the others.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Protocol

from agent.execution.outcome.log_files import ArtifactFiles, LogWriter

#: Bytes a second that one stream may write for long, and how many at once.
RATE, BURST = 1 << 20, 4 << 20
#: The longest pause at a time, in seconds: a child that is asked to end must not wait for it.
_LONGEST_PAUSE = 0.1
#: Seconds before the next attempt after a piece could not be written.
_AGAIN = 10.0
#: Bytes beyond its size that a piece gets while it waits for the end of a line.
_LINE = 64 * 1024


class Piece:
    """One file of a log. ``writer`` belongs to the child's thread, all else to who files it away."""

    def __init__(self, sensor_ref: str, stream: str, writer: LogWriter, retention: tuple[str, int]) -> None:
        """A piece of one stream of a sensor; ``retention`` is the policy of its log, and the amount."""
        self.sensor_ref = sensor_ref
        self.stream = stream
        self.writer = writer
        self.retention = retention
        self.ended = False

    @property
    def ref(self) -> str:
        """The artifact that it is a version of."""
        return f"sensor.{self.sensor_ref}.{self.stream}"


class Pieces(Protocol):
    """Who files pieces away; neither call waits."""

    def begun(self, piece: Piece) -> None:
        """A piece has its first bytes."""

    def grown(self, piece: Piece) -> None:
        """A piece has more bytes."""

    def over(self, piece: Piece) -> None:
        """Nothing more comes into a piece; its file is closed."""


class SensorLog:
    """One stream of one child; for its thread."""

    def __init__(
        self,
        new: Callable[[], Piece],
        pieces: Pieces,
        *,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make pieces of ``max_bytes`` with ``new`` and hand them to ``pieces``."""
        self._new = new
        self._pieces = pieces
        self._max_bytes = max_bytes
        self._clock = clock
        self._sleep = sleep
        self._piece: Piece | None = None
        self._allowed = float(BURST)
        self._at = clock()
        self._again_at = 0.0

    def write(self, data: bytes) -> None:
        """Append; what can't be written is lost, and the child runs on."""
        while data and self._clock() >= self._again_at:
            piece = self._piece or self._new()
            room = self._max_bytes - piece.writer.size_bytes
            part = data
            if len(data) >= room:
                end = data.rfind(b"\n", 0, max(room, 0)) + 1 or data.find(b"\n") + 1
                part = data[: end or max(room + _LINE, 0) or len(data)]
            piece.writer.write(part)
            if piece.writer.failed:
                self._again_at = self._clock() + _AGAIN
            if self._piece is None:
                self._piece = piece
                self._pieces.begun(piece)
            else:
                self._pieces.grown(piece)
            data = data[len(part) :]
            if data or piece.writer.failed or piece.writer.size_bytes >= self._max_bytes:
                self.close()
            self._slow_down(len(part))

    def close(self) -> None:
        """End the piece; the next byte begins another."""
        piece, self._piece = self._piece, None
        if piece is not None:
            piece.writer.close()
            piece.ended = True
            self._pieces.over(piece)

    def _slow_down(self, size: int) -> None:
        now = self._clock()
        self._allowed = min(float(BURST), self._allowed + (now - self._at) * RATE) - size
        self._at = now
        if self._allowed < 0:
            self._sleep(min(-self._allowed / RATE, _LONGEST_PAUSE))


class SensorLogs:
    """The logs of all sensors of a service."""

    def __init__(self, files: ArtifactFiles, pieces: Pieces, *, owner: str, max_bytes: int, keep: int) -> None:
        """Write below the directory of ``files``; ``owner`` tells this service's files from those of others there.

        ``keep`` pieces of ``max_bytes`` are kept of a sensor that says nothing else.
        """
        self._files = files
        self._pieces = pieces
        self._owner = owner
        self._max_bytes = max_bytes
        self._keep = keep
        self._numbers = itertools.count(time.time_ns())

    def writer(self, sensor_ref: str, stream: str, policy: str | None, limit: int | None) -> SensorLog:
        """Return where one stream of a child goes; ``policy`` and ``limit`` are the sensor's own retention."""
        retention = (policy, limit) if policy is not None and limit is not None else ("versions", self._keep)

        def new() -> Piece:
            path = live_path(sensor_ref, stream, self._owner, next(self._numbers))
            return Piece(sensor_ref, stream, self._files.writer_at(path), retention)

        return SensorLog(new, self._pieces, max_bytes=self._max_bytes)


def live_path(sensor_ref: str, stream: str, owner: str, number: int) -> str:
    """Return where a piece lies until it is filed away, below the directory of artifacts."""
    return f"sensors/{sensor_ref}/{stream}.{owner}.{number}.log"
