"""A sensor's log: pieces that end with a line, no faster than a disk can bear, and never in the sensor's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.execution.outcome.log_files import ArtifactFiles
from agent.sensors.excerpt import Excerpt
from agent.sensors.log_writing import BURST, RATE, Piece, SensorLog
from tests.unit.fakes.clock import FakeClock


class Kept:
    """Where pieces go."""

    def __init__(self) -> None:
        self.all: list[Piece] = []
        self.ended: list[Piece] = []

    def begun(self, piece: Piece) -> None:
        assert piece.writer.size_bytes or piece.writer.failed
        self.all.append(piece)

    def grown(self, piece: Piece) -> None:
        assert piece is self.all[-1]

    def over(self, piece: Piece) -> None:
        self.ended.append(piece)


class Log:
    """A log in a directory, with a clock."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.clock = FakeClock()
        self.kept = Kept()
        self.files = ArtifactFiles(directory)
        self.log = SensorLog(
            self.new, self.kept, max_bytes=max_bytes, clock=self.clock.monotonic, sleep=self.clock.sleep
        )

    def new(self) -> Piece:
        writer = self.files.writer_at(f"sensors/watch.it/stdout.x.{len(self.kept.all)}.log")
        return Piece("watch.it", "stdout", writer, ("versions", 4))

    def contents(self) -> list[bytes]:
        return [Path(piece.writer.path).read_bytes() for piece in self.kept.all]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path, 1024)


def test_nothing_is_made_before_the_first_byte(log: Log) -> None:
    log.log.write(b"")
    log.log.close()
    assert log.kept.all == []


def test_pieces_end_with_a_line_and_together_hold_everything(log: Log) -> None:
    written = b"".join(b"line %04d of it\n" % number for number in range(300))
    for start in range(0, len(written), 97):
        log.log.write(written[start : start + 97])
    log.log.close()
    pieces = log.contents()
    assert b"".join(pieces) == written
    assert len(pieces) == 5
    assert all(piece.endswith(b"\n") and len(piece) <= 1024 + 97 for piece in pieces)
    assert log.kept.ended == log.kept.all


def test_a_line_without_an_end_is_cut_somewhere(log: Log) -> None:
    log.log.write(b"x" * 200_000)
    log.log.close()
    pieces = log.contents()
    assert b"".join(pieces) == b"x" * 200_000
    assert max(map(len, pieces)) <= 1024 + 64 * 1024


def test_a_flood_is_slowed_down_and_a_burst_is_not(tmp_path: Path) -> None:
    log = Log(tmp_path, 64 << 20)
    log.log.write(b"y\n" * (BURST // 2))
    assert log.clock.pauses == []
    began = log.clock.seconds
    for _ in range(16):
        log.log.write(b"y\n" * (RATE // 32))
    assert 0.8 <= log.clock.seconds - began <= 1.2
    assert max(log.clock.pauses) <= 0.1


def test_a_disk_that_takes_nothing_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sensors").write_text("in the way")
    log = Log(tmp_path, 1024)
    log.log.write(b"lost\n")
    log.log.write(b"lost, too\n")
    assert len(log.kept.all) == 1
    (tmp_path / "sensors").unlink()
    log.clock.seconds += 11
    log.log.write(b"kept\n")
    log.log.close()
    assert Path(log.kept.all[-1].writer.path).read_bytes() == b"kept\n"


def test_the_excerpt_is_the_end_of_what_was_written() -> None:
    excerpt = Excerpt()
    assert excerpt.text() is None
    for number in range(5000):
        excerpt.feed(b"line %d\n" % number)
    excerpt.feed(b"nul \0 and \xff\n")
    text = excerpt.text()
    assert text is not None
    assert text.splitlines()[-2:] == ["line 4999", "nul \ufffd and \ufffd"]
    assert len(text.splitlines()) == 80
    excerpt.feed(b"z" * 100_000)
    assert len(str(excerpt.text())) == 16 * 1024
