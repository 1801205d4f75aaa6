"""What an execution wrote: followed live while it runs, read from its log artifact when it has ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from psycopg.rows import dict_row

from agent.db.pool import Database
from agent.db.queries import load_queries
from agent.reading.regular_files import NoRegularFile, open_regular

_CHUNK = 65536


class LogReader:
    """Reads one stream of one execution from where the last read stopped.

    The live file appears with the first byte; the artifact's file, which is complete, when the execution has ended.
    """

    def __init__(
        self, database: Database, artifacts_dir: Path, execution_id: int, stream: str, *, offset: int = 0
    ) -> None:
        """Begin ``offset`` bytes down; nothing is opened yet."""
        self._database = database
        self._artifacts_dir = artifacts_dir
        self._execution_id = execution_id
        self._stream = stream
        self._offset = offset

    def skip(self, offset: int) -> None:
        """Begin behind so many bytes: whoever reads has them already."""
        self._offset = offset

    @property
    def live_path(self) -> Path:
        """Where the worker appends while the action runs."""
        return self._artifacts_dir / f"execution_{self._execution_id}" / f"{self._stream}.log"

    def read_live(self) -> Iterator[bytes]:
        """Yield what has been appended since the last call."""
        yield from self._read_file(self.live_path)

    def read_rest(self) -> Iterator[bytes]:
        """Yield what is left of an execution that has ended, from the artifact, else from the live file."""
        for path, content in self._artifact():
            if content is not None:
                rest = content[self._offset :]
                self._offset += len(rest)
                yield rest
                return
            if path is not None and path.is_file():
                yield from self._read_file(path)
                return
        yield from self.read_live()

    def _artifact(self) -> list[tuple[Path | None, bytes | None]]:
        with self._database.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            rows = cursor.execute(load_queries(__package__ or "")["log_files"], {"id": self._execution_id})
            return [
                (self._artifacts_dir / row["file_path"] if row["file_path"] else None, row["content"])
                for row in rows
                if row["stream"] == self._stream
            ]

    def _read_file(self, path: Path) -> Iterator[bytes]:
        """Read on where the last call ended: a regular file below the artifacts, whatever a job put in its place."""
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(os.path.realpath(self._artifacts_dir)):
            return
        try:
            fd = open_regular(real, follow=False)
        except (FileNotFoundError, NotADirectoryError, NoRegularFile):
            return
        with os.fdopen(fd, "rb") as file:
            file.seek(self._offset)
            while chunk := file.read(_CHUNK):
                self._offset += len(chunk)
                yield chunk
