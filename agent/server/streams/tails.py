"""Logs that somebody follows: one look, and one reading of what is new, for all who follow the same one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from psycopg.rows import dict_row

from agent.db.pool import Database
from agent.db.queries import load_queries
from agent.errors import DatabaseError
from agent.server.streams.log_places import LogFile, live_log

log = logging.getLogger(__name__)

LOOK = 0.1
"""Seconds between looks at the logs that are followed."""
_ASK = 5.0
"""Seconds between questions whether their executions have ended: should the notification of an end be missed."""
_LATE = 5.0
"""Seconds that the rest of a log may come after its execution has ended."""
_BUFFER = 256 * 1024
_PROOF = 4096
ENDED = frozenset(("completed", "failed", "cancelled", "timeout", "abandoned"))


class Tail:
    """One log. What is read by several threads is replaced, never changed: ``buffer`` is (its offset, its bytes)."""

    def __init__(self, file: LogFile, execution_id: int, stream: str) -> None:
        """Prepare; ``LogTails`` looks at the file."""
        self.file = file
        self.execution_id = execution_id
        self.stream = stream
        self.size = 0
        self.generation = 0
        self.exists = False
        self.looked = False
        self.over = False
        self.buffer = (0, b"")
        self.wakes: set[Callable[[], None]] = set()
        self.ended_at: float | None = None
        self.asked = False
        self.final = False
        self._inode: tuple[int, int] | None = None

    def look(self) -> bool:
        """See whether it grew, or is another one now; return whether there is something to tell."""
        found = self.file.look()
        changed = not self.looked
        if found is not None:
            inode, size = found[:2], found[2]
            if self._inode is None or inode != self._inode or size < self.size:
                changed = self._meet(inode, size) or changed
            if size > self.size:
                self._grow(size)
                changed = True
            self.exists = True
        return changed

    def read(self, offset: int, most: int) -> bytes | None:
        """Return bytes that are in memory; None when the file must be asked."""
        begin, content = self.buffer
        if begin <= offset < begin + len(content):
            return content[offset - begin : offset - begin + most]
        return None

    def wake(self) -> None:
        """Let those who follow it look."""
        for wake in list(self.wakes):
            wake()

    def _meet(self, inode: tuple[int, int], size: int) -> bool:
        """Take in a file that was not there before; it goes on where the last one did, or it is another log."""
        known = self._inode is not None
        self._inode = inode
        begin, content = self.buffer
        proof = content[-_PROOF:]
        at = begin + len(content) - len(proof)
        if not known or (size >= self.size and self.file.read(at, len(proof)) == proof):
            return False
        log.info("the log %s of execution %d was replaced", self.stream, self.execution_id)
        self.size, self.buffer = 0, (0, b"")
        self.generation += 1
        return True

    def _grow(self, size: int) -> None:
        begin = max(self.size, size - _BUFFER)
        fresh = self.file.read(begin, size - begin)
        if len(fresh) < size - begin:
            size = begin + len(fresh)  # cut while it was read; the next look sees it
            if not fresh:
                return
        old, content = self.buffer
        if begin == old + len(content):
            content, begin = (content + fresh)[-_BUFFER:], max(old, size - _BUFFER)
            self.buffer = (size - len(content), content)
        else:
            self.buffer = (begin, fresh)
        self.size = size


class LogTails:
    """The logs that somebody follows; ``run`` is the body of the thread that looks at them."""

    def __init__(self, database: Database, artifacts_dir: Path) -> None:
        """Prepare; nothing is opened."""
        self._database = database
        self._artifacts_dir = artifacts_dir
        self._lock = threading.Lock()
        self._tails: dict[tuple[int, str], Tail] = {}
        self._stop = threading.Event()
        self._poked = threading.Event()
        self._ended: set[int] = set()
        self._asked = 0.0

    def __len__(self) -> int:
        return len(self._tails)

    def follow(self, execution_id: int, stream: str, wake: Callable[[], None], file: LogFile | None = None) -> Tail:
        """Return the tail of a log, shared with all who follow it; ``file`` says where it is, if not where logs are."""
        with self._lock:
            tail = self._tails.get((execution_id, stream))
            if tail is None:
                file = file or live_log(self._artifacts_dir, execution_id, stream)
                tail = self._tails[execution_id, stream] = Tail(file, execution_id, stream)
            tail.wakes.add(wake)
        self._poked.set()
        return tail

    def leave(self, tail: Tail, wake: Callable[[], None]) -> None:
        """Follow it no more; with its last follower it is forgotten."""
        with self._lock:
            tail.wakes.discard(wake)
            if not tail.wakes:
                self._tails.pop((tail.execution_id, tail.stream), None)

    def ended(self, execution_id: int) -> None:
        """Hear that an execution has ended; from any thread."""
        if (execution_id, "stdout") in self._tails or (execution_id, "stderr") in self._tails:
            self._ended.add(execution_id)
            self._poked.set()

    def poke(self) -> None:
        """Look now: something was appended by this process."""
        self._poked.set()

    def run(self) -> None:
        """Look until ``stop``."""
        while not self._stop.is_set():
            with self._lock:
                tails = list(self._tails.values())
            if not tails:
                self._poked.wait(1.0)
            self._poked.clear()
            begin = time.monotonic()
            try:
                self._ask(tails, begin)
            except DatabaseError as error:
                log.debug("whether executions have ended can't be asked: %s", error)
            for tail in tails:
                if not tail.over:
                    self._look(tail, begin)
            self._poked.wait(max(0.0, LOOK - (time.monotonic() - begin)) if tails else 0.0)

    def stop(self) -> None:
        """End ``run``."""
        self._stop.set()
        self._poked.set()

    def _look(self, tail: Tail, now: float) -> None:
        changed = tail.look()
        if tail.ended_at is not None and tail.final:
            expected = tail.file.size
            late = now - tail.ended_at >= _LATE
            tail.over = expected is None or tail.size >= expected or late
        tail.looked = True  # last: who looks between finds a log that is nothing yet
        if changed or tail.over:
            tail.wake()

    def _ask(self, tails: list[Tail], now: float) -> None:
        """Find out which have ended, all in one statement, and where their logs are now."""
        heard, self._ended = self._ended, set()
        due = now - self._asked >= _ASK
        ids = {tail.execution_id for tail in tails if tail.ended_at is None and (due or not tail.asked)} | heard
        if due:
            self._asked = now
        gone = set(heard)
        if ids:
            found = self._rows("execution_states", {"ids": sorted(ids)})
            states = {row["id"]: row["status"] for row in found}
            gone |= {number for number in ids if states.get(number, "abandoned") in ENDED}
        for tail in tails:
            tail.asked = True
            if tail.execution_id in gone and tail.ended_at is None:
                tail.ended_at = now
            if tail.ended_at is not None and not tail.final:
                self._finish(tail)

    def _finish(self, tail: Tail) -> None:
        """Read on in the log's artifact, which is whole; without one the live file is all there is."""
        rows = self._rows("log_of_execution", {"id": tail.execution_id, "stream": tail.stream})
        for row in rows:
            path, content = row["file_path"], row["content"]
            if path or content is not None:
                held = bytes(content) if content is not None else None
                final = LogFile(self._artifacts_dir, path or "", held, row["size_bytes"])
                if final.look() is not None or not tail.exists:
                    tail.file = final
        tail.final = True

    def _rows(self, name: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        statement = load_queries("agent.server")[name].encode()
        with self._database.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, values).fetchall()
